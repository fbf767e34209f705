package executor

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets the test binary stand in for PHP: site.php starts it so.
func TestMain(m *testing.M) {
	if os.Getenv("NCFLEET_STANDIN_PHP") != "" {
		os.Exit(standinPHP(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// standinPHP answers the invocations listed in package nextcloud's scripts.go.
// Knobs are files in the folder above the tree: upgrade (ok, fail, hang, die).
func standinPHP(args []string) int {
	var rest []string
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-d":
			i++
		case "-r":
			i += 2 // the code and "--"
		default:
			rest = append(rest, args[i])
		}
	}
	switch rest[0] {
	case "ncfleet-config-get":
		return standinGet(rest[1], rest[2:])
	case "ncfleet-config-set":
		return standinSet(rest[1], rest[2:])
	case "ncfleet-store":
		fmt.Println("refused")
	case "ncfleet-http":
		return 1
	case "occ":
		return standinOcc(rest[1:])
	case "-S":
		standinServer(rest[1], rest[3], rest[4])
	default:
		fmt.Fprintf(os.Stderr, "unknown invocation %q\n", args)
		return 255
	}
	return 0
}

var configLine = regexp.MustCompile(`(?m)^  '([^']+)' => (.*),$`)

func readConfig(file string) map[string]string {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	c := map[string]string{}
	for _, m := range configLine.FindAllStringSubmatch(string(b), -1) {
		c[m[1]] = m[2]
	}
	return c
}

func writeConfig(file string, c map[string]string) error {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	text := "<?php\n$CONFIG = array (\n"
	for _, k := range keys {
		text += "  '" + k + "' => " + c[k] + ",\n"
	}
	return os.WriteFile(file, []byte(text+");\n"), 0o640)
}

func standinGet(file string, keys []string) int {
	dir := filepath.Dir(file)
	if s, err := os.Stat(file); err == nil && s.IsDir() {
		dir, file = file, filepath.Join(file, "config.php")
	}
	c := readConfig(file)
	if len(c) == 0 {
		fmt.Fprintln(os.Stderr, "no readable $CONFIG in "+file)
		return 1
	}
	for _, k := range keys {
		switch v, ok := c[k]; {
		case k == "@memory":
			fmt.Println("@memory -1")
		case k == "@code":
			fmt.Println("@code " + codeVersion(filepath.Dir(dir)))
		case ok:
			fmt.Println(k, v)
		default:
			fmt.Println(k, "unset")
		}
	}
	return 0
}

var versionList = regexp.MustCompile(`\$OC_Version = array\(([0-9, ]+)\)`)

func codeVersion(tree string) string {
	b, _ := os.ReadFile(filepath.Join(tree, "version.php"))
	m := versionList.FindSubmatch(b)
	if m == nil {
		return ""
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(m[1]), " ", ""), ",", ".")
}

func standinSet(file string, pairs []string) int {
	c := readConfig(file)
	if len(c) == 0 {
		return 1
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "unset" {
			delete(c, pairs[i])
		} else {
			c[pairs[i]] = pairs[i+1]
		}
	}
	if writeConfig(file, c) != nil {
		return 1
	}
	fmt.Println("changed")
	return 0
}

func standinOcc(args []string) int {
	tree, _ := os.Getwd()
	knob := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(filepath.Dir(tree), name))
		return strings.TrimSpace(string(b))
	}
	switch args[0] {
	case "upgrade":
		return standinUpgrade(tree, knob("upgrade"))
	case "status":
		if n := knob("database"); n != "" && os.Remove(filepath.Join(filepath.Dir(tree), "database")) == nil {
			fmt.Println("An unhandled exception has been thrown:\nDoctrine\\DBAL\\Exception: Failed to connect to the database: " + n)
			return 1
		}
		fmt.Printf(`{"installed":true,"needsDbUpgrade":%v}`+"\n", readConfig(filepath.Join(tree, "config", "config.php"))["version"] != `"`+codeVersion(tree)+`"`)
	case "app:update":
		// The knob lists "ID VERSION": what the store offers.
		for _, line := range strings.Split(knob("store"), "\n") {
			id, v, ok := strings.Cut(line, " ")
			switch {
			case ok && slices.Contains(args, "--showonly"):
				fmt.Printf("%s new version available: %s\n", id, v)
			case ok && (slices.Contains(args, "--all") || slices.Contains(args, id)):
				fmt.Println(id + " updated")
				_ = os.WriteFile(filepath.Join(filepath.Dir(tree), "store"), []byte(strings.Replace(knob("store"), line, "", 1)), 0o644)
			}
		}
	case "app:list":
		fmt.Println(orElse(knob("apps.json"), `{"enabled":{"files":"2.1.0","mine":"1.0.0"},"disabled":[]}`))
	case "setupchecks":
		fmt.Println(orElse(knob("checks.json"), `{"system":{"OCA\\Settings\\A":{"severity":"success"}}}`))
		return 1
	case "user:add":
		name := args[len(args)-1]
		if os.Getenv("NC_maintenance") != "0" || os.Getenv("OC_PASS") == "" {
			fmt.Println("not behind the door")
			return 1
		}
		if err := os.MkdirAll(filepath.Join(tree, "data", name), 0o750); err != nil {
			return 1
		}
		fmt.Println("The account was created successfully")
	case "user:delete":
		_ = os.RemoveAll(filepath.Join(tree, "data", args[1]))
		fmt.Println("The specified user was deleted")
	case "db:add-missing-indices", "db:add-missing-columns", "db:add-missing-primary-keys":
		fmt.Println("Done.")
	default:
		fmt.Printf("unknown occ command %q\n", args)
		return 1
	}
	return 0
}

func standinUpgrade(tree, how string) int {
	file := filepath.Join(tree, "config", "config.php")
	c := readConfig(file)
	fmt.Println("Updating database schema")
	switch how {
	case "fail":
		fmt.Println("Database error when running migration 29000Date for app core\nUpdate failed\nMaintenance mode is kept active")
		return 5
	case "die-open":
		_ = os.Remove(filepath.Join(tree, "config", "zz-ncfleet.config.php"))
		c["maintenance"] = "false"
		_ = writeConfig(file, c)
		fallthrough
	case "die":
		_ = os.WriteFile(filepath.Join(filepath.Dir(tree), "upgrade"), []byte("ok"), 0o644)
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill()
		time.Sleep(time.Minute)
	case "repair":
		fmt.Println("Repair error: the step of app mine threw")
	case "lie":
		fmt.Println("Update successful")
		return 0
	}
	c["version"] = `"` + codeVersion(tree) + `"`
	if writeConfig(file, c) != nil {
		return 1
	}
	fmt.Println("Update successful\nMaintenance mode is kept active")
	return 0
}

// standinServer is the private door.
func standinServer(address, tree, router string) {
	var mu sync.Mutex
	files := map[string][]byte{}
	door := filepath.Dir(router)
	handle := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		switch path := r.URL.Path; {
		case r.Header.Get("X-NCFleet-Door") != os.Getenv("NCFLEET_DOOR"):
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodGet && os.Remove(filepath.Join(filepath.Dir(tree), "drop"+filepath.Ext(path))) == nil:
			panic(http.ErrAbortHandler) // the connection breaks
		case path == "/.ncfleet/state":
			b, _ := os.ReadFile(filepath.Join(door, "state"))
			_, _ = w.Write(b)
		case path == "/.ncfleet/stop":
			_ = os.WriteFile(filepath.Join(door, "sessions", "stop"), nil, 0o600)
		case path == "/status.php":
			_ = json.NewEncoder(w).Encode(map[string]any{"installed": true, "version": codeVersion(tree), "maintenance": os.Getenv("NC_maintenance") != "0", "needsDbUpgrade": false})
		case path == "/index.php/login":
			fmt.Fprint(w, `<html><head data-requesttoken="x"><script src="/core/login.js?v=1"></script></head><body id="body-login"></body></html>`)
		case path == "/core/login.js":
			fmt.Fprint(w, "1")
		case os.Getenv("NC_skeletondirectory")+os.Getenv("NC_templatedirectory") != "":
			w.WriteHeader(http.StatusInternalServerError) // set by the tests, emptied by the door
		case !strings.HasPrefix(path, "/remote.php/dav/files/"):
			w.WriteHeader(http.StatusNotFound)
		case r.Method == "MKCOL":
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodPut:
			files[path] = body
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		default:
			_, _ = w.Write(files[path])
		}
	}
	go func() {
		time.Sleep(100 * time.Millisecond)
		fmt.Println("Development Server started")
	}()
	fmt.Fprintln(os.Stderr, http.ListenAndServe(address, http.HandlerFunc(handle)))
	os.Exit(1)
}

// site is one instance in a temporary folder, with a staged release beside it.
type site struct {
	t                        *testing.T
	dir, tree, php           string
	staged, kept, state, log string
	env                      []string
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func versionPHP(list, from string) string {
	return "<?php\n$OC_Version = array(" + list + ");\n$OC_VersionString = 'x';\n$OC_VersionCanBeUpgradedFrom = array (\n  'nextcloud' =>\n  array (\n    '" + from + "' => true,\n  ),\n);\n"
}

// release writes the entries that every release has.
func release(t *testing.T, dir, list, from string) {
	t.Helper()
	write(t, dir+"/version.php", versionPHP(list, from))
	write(t, dir+"/occ", "#!/usr/bin/env php\n")
	write(t, dir+"/index.php", "<?php // "+list)
	write(t, dir+"/lib/base.php", "<?php // "+list)
	write(t, dir+"/core/shipped.json", `{"shippedApps": ["files"]}`)
	write(t, dir+"/apps/files/appinfo/info.xml", "<info>"+list+"</info>")
	write(t, dir+"/themes/README", "themes")
	write(t, dir+"/.htaccess", "# "+list)
	write(t, dir+"/config/config.sample.php", "<?php // sample")
}

// newSite makes an instance whose data and other folders of its own, some with
// odd names, lie inside the tree.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, tree: dir + "/we ird/html", state: dir + "/state", php: dir + "/bin/php"}
	s.staged, s.kept = s.tree+".ncfleet-new-29.0.1", s.tree+".ncfleet-old-28.0.2"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The race detector sleeps for a second before each exit.
	write(t, s.php, "#!/bin/sh\nNCFLEET_STANDIN_PHP=1 GORACE=atexit_sleep_ms=0 exec '"+self+"' \"$@\"\n")
	if err := os.Chmod(s.php, 0o755); err != nil {
		t.Fatal(err)
	}
	release(t, s.tree, "28,0,2,5", "27.1")
	write(t, s.tree+"/ocm-provider/index.php", "dropped by the next release")
	write(t, s.tree+"/apps/mine/appinfo/info.xml", "<info>mine</info>")
	write(t, s.tree+"/themes/own/x.css", "own")
	write(t, s.tree+"/data/alice/files/a b'c.txt", "alice's")
	write(t, s.tree+"/data/nextcloud.log", `{"level":4,"app":"old","message":"before"}`+"\n")
	write(t, s.tree+"/custom_apps/other/appinfo/info.xml", "<info>other</info>")
	write(t, s.tree+"/-dash", "dash")
	write(t, s.tree+"/.well-known/üm läut", "odd")
	if err := writeConfig(s.tree+"/config/config.php", map[string]string{"version": `"28.0.2.5"`, "installed": "true", "loglevel": "2"}); err != nil {
		t.Fatal(err)
	}
	write(t, s.tree+"/config/own.config.php", "<?php // own")
	s.env = append(os.Environ(), "NCFLEET_SYSROOT="+dir+"/root", "TMPDIR="+dir, "NC_skeletondirectory=x", "NC_templatedirectory=x")
	return s
}

// user is whoever runs the tests.
func user(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
