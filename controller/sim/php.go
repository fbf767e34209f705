package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// process is one run of a stand-in.
type process struct {
	host   *hostConf
	args   []string // without the program's name
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	cwd    string
	getenv func(string) string
}

func (p *process) say(format string, a ...any)      { fmt.Fprintf(p.stdout, format, a...) }
func (p *process) complain(format string, a ...any) { fmt.Fprintf(p.stderr, format, a...) }

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05+00:00") }

// phpModules are those that Nextcloud asks for, and a few more.
var phpModules = strings.Fields("Core apcu bcmath ctype curl date dom exif fileinfo filter gd gmp hash iconv intl json " +
	"libxml mbstring openssl pcntl pcre PDO pdo_sqlite posix Reflection session SimpleXML sodium SPL sqlite3 standard " +
	"tokenizer xml xmlreader xmlwriter zip zlib")

// memoryLimit is what the stand-in's php.ini says.
const memoryLimit = "512M"

// php stands in for PHP's command line: it answers the calls that the survey,
// the host scripts and the drivers document, and no other.
func (p *process) php() int {
	p.host.drag()
	var code, listen, root, file string
	run := false
	args := p.args
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		value := func() string {
			if len(args) == 0 {
				return ""
			}
			v := args[0]
			args = args[1:]
			return v
		}
		switch {
		case word == "-d":
			value()
		case strings.HasPrefix(word, "-d"):
		case word == "-r":
			code, run = value(), true
		case word == "-S":
			listen = value()
		case word == "-t":
			root = value()
		case word == "-f":
			file = value()
		case word == "-v":
			p.say("PHP %s (cli) (built: Jun  1 2026 00:00:00) (NTS)\nCopyright (c) The PHP Group\n", p.host.PHP)
			return 0
		case word == "-m":
			p.say("[PHP Modules]\n%s\n\n[Zend Modules]\n", strings.Join(phpModules, "\n"))
			return 0
		case word == "-i":
			p.say("PHP Version => %s\nmemory_limit => %s => %s\n", p.host.PHP, memoryLimit, memoryLimit)
			return 0
		case word == "--":
			return p.phpRun(code, run, listen, root, file, args)
		case strings.HasPrefix(word, "-"):
			p.complain("the simulated php has no option %s\n", word)
			return 64
		default:
			return p.phpRun(code, run, listen, root, file, append([]string{word}, args...))
		}
	}
	return p.phpRun(code, run, listen, root, file, nil)
}

func (p *process) phpRun(code string, run bool, listen, root, file string, args []string) int {
	switch {
	case listen != "":
		router := ""
		if len(args) > 0 {
			router = args[0]
		}
		return p.serveDoor(listen, root, router)
	case run:
		return p.operation(code, args)
	}
	if file == "" && len(args) > 0 {
		file, args = args[0], args[1:]
	}
	switch filepath.Base(file) {
	case "occ":
		if !filepath.IsAbs(file) {
			file = filepath.Join(p.cwd, file)
		}
		return p.occ(filepath.Dir(file), args)
	case "cron.php":
		return 0
	}
	p.complain("Could not open input file: %s\n", file)
	return 1
}

// operation answers php -r CODE -- OPERATION ARGUMENTS.
func (p *process) operation(code string, args []string) int {
	if len(args) == 0 {
		p.complain("the simulated php cannot run code: %.60q\n", code)
		return 64
	}
	name, args := args[0], args[1:]
	err := errors.New("it needs an argument")
	if len(args) > 0 {
		switch name {
		case "ncfleet-config-get":
			err = p.configGet(args[0], args[1:])
		case "ncfleet-config-set":
			err = p.configSet(args[0], args[1:])
		case "ncfleet-http", "ncfleet-reach":
			err = p.httpGet(args[0], name == "ncfleet-http")
		case "ncfleet-store":
			p.store(args[0])
			err = nil
		case "ncfleet-facts":
			err = p.facts(args[0])
		case "ncfleet-db-facts":
			err = p.dbFacts(args[0])
		case "ncfleet-db-login":
			err = errors.New("a SQLite file has no login")
		case "ncfleet-db-copy":
			err = p.dbCopy(args[0])
		default:
			err = errors.New("the simulated php does not know it")
		}
	}
	if err != nil {
		p.complain("%s: %v\n", name, err)
		return 1
	}
	return 0
}

func (p *process) configGet(place string, keys []string) error {
	dir := filepath.Dir(place)
	var c *phpArray
	if info, err := os.Stat(place); err == nil && info.IsDir() {
		dir = place
		if c, _, err = readConfigs(place, "zz-ncfleet"); err != nil {
			return err
		}
	} else {
		text, err := os.ReadFile(place)
		if err != nil {
			return err
		}
		if c, err = parseConfig(text); err != nil {
			return err
		}
	}
	for _, k := range keys {
		v := "unset"
		switch k {
		case "@memory":
			v = "536870912"
		case "@code":
			s, err := loadSite(p.host, filepath.Dir(dir), "")
			if err != nil {
				return err
			}
			v = s.code.Version.Long()
		default:
			if found, ok := c.get(k); ok {
				v = jsonText(found)
			}
		}
		p.say("%s %s\n", k, v)
	}
	return nil
}

func (p *process) configSet(file string, pairs []string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c, err := parseConfig(text)
	if err != nil {
		return err
	}
	before := configText(c)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "unset" {
			c.unset(pairs[i])
			continue
		}
		v, err := fromJSON(pairs[i+1])
		if err != nil {
			return err
		}
		c.set(pairs[i], v)
	}
	if configText(c) == before {
		p.say("unchanged\n")
		return nil
	}
	if err := replaceFile(file, configText(c)); err != nil {
		return err
	}
	p.say("changed\n")
	return nil
}

func (p *process) httpGet(url string, body bool) error {
	if p.host.has(MirrorAway) && (url == p.host.Mirror || strings.HasPrefix(url, p.host.Mirror+"/")) {
		return errors.New("failed to open stream: Connection refused")
	}
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	p.say("%d", r.StatusCode)
	if body {
		p.say("\n")
		_, err = io.Copy(p.stdout, io.LimitReader(r.Body, 65536))
	}
	return err
}

// store tells how an app store behaves.
func (p *process) store(url string) {
	client := &http.Client{Timeout: 2 * time.Second}
	r, err := client.Head(url)
	var late interface{ Timeout() bool }
	switch {
	case err == nil:
		r.Body.Close()
		p.say("reachable\n")
	case errors.As(err, &late) && late.Timeout():
		p.say("hangs\n")
	default:
		p.say("refused\n")
	}
}

func (p *process) dbFacts(dir string) error {
	s, err := loadSite(p.host, filepath.Dir(dir), "")
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(s.databaseFile()), ".db")
	p.say("kind=sqlite3\nprefix=oc_\nname=%s\nuser=\nhost=\nport=\nsocket=\nfile=%s\n", name, s.databaseFile())
	return nil
}

// dbCopy writes a copy made under the lock, and its checksum to stderr.
func (p *process) dbCopy(file string) error {
	unlock, err := p.host.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := readDatabase(file); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := p.stdout.Write(text); err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	p.complain("sha256=%s\n", hex.EncodeToString(sum[:]))
	return nil
}
