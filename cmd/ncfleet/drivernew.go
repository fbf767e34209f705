package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/examples"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

const modulePath = "github.com/ncfleet/ncfleet"

// newFlags are those of driver new.
type newFlags struct {
	kind   string
	dir    string
	module string
	source string
}

func driverNewCommand(a *app) *cobra.Command {
	var f newFlags
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "write a driver of one's own: a Go module that builds, passes driver test, and is yours to change",
		Long: `new writes a whole working driver under a name of your own: the example that copies trees
(--kind snapshot) or the one that updates Python packages (--kind packages). Change what it does, keep
what the tests demand.

` + modulePath + ` is not published as a module, so the new one needs a copy of its source:
name the folder with --source, and go.mod gets a replace line.`,
		Example: "  ncfleet driver new acme --source ~/src/ncfleet && cd ncfleet-driver-acme && go mod tidy && go build",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.newDriver(args[0], f) },
	}
	c.Flags().StringVar(&f.kind, "kind", string(driver.KindSnapshot), "snapshot or packages")
	c.Flags().StringVar(&f.dir, "dir", "", "the new folder (default: ncfleet-driver-NAME)")
	c.Flags().StringVar(&f.module, "module", "", "path of the new module (default: example.org/ncfleet-driver-NAME)")
	c.Flags().StringVar(&f.source, "source", "", "folder with ncfleet's source, for the replace line of go.mod")
	return c
}

// skeletons are the examples by kind, and what stands for the driver's name in them.
var skeletons = map[string]struct{ folder, name string }{
	string(driver.KindSnapshot): {"driver-go", "copy"},
	string(driver.KindPackages): {"driver-pip", "pip"},
}

var driverName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

func (a *app) newDriver(name string, f newFlags) error {
	skeleton, ok := skeletons[f.kind]
	switch {
	case !ok:
		return &exitCode{exitUsage, fmt.Sprintf("error: --kind %s: write snapshot or packages", f.kind)}
	case !driverName.MatchString(name):
		return &exitCode{exitUsage, fmt.Sprintf("error: %q: a driver's name consists of lower-case letters, digits and single dashes", name)}
	}
	for _, b := range builtins {
		if b.name == name && string(b.kind) == f.kind {
			return &exitCode{exitUsage, fmt.Sprintf("error: %q is built into ncfleet and always found first; choose another name", name)}
		}
	}
	program := "ncfleet-driver-" + name
	if f.dir == "" {
		f.dir = program
	}
	if f.module == "" {
		f.module = "example.org/" + program
	}
	files, err := skeletonFiles(skeleton.folder, skeleton.name, name)
	if err != nil {
		return err
	}
	if files["go.mod"], err = goMod(f); err != nil {
		return err
	}
	trial := newTrial(name, f.kind)
	for n, text := range trial.files {
		files[n] = []byte(text)
	}
	files["README.md"] = []byte(newReadme(name, f, trial))
	if err := writeNew(f.dir, files); err != nil {
		return err
	}
	out := a.talk()
	fmt.Fprintf(out, "%s holds the driver %q %q. Next:\n\n  cd %s\n", f.dir, f.kind, name, f.dir)
	if f.source == "" {
		fmt.Fprintf(out, "  go mod edit -replace %s=DIR   # DIR: a folder with ncfleet's source; it is not published as a module\n", modulePath)
	}
	fmt.Fprintf(out, "  go mod tidy && go build -o %s .\n  %s\n\nREADME.md has the rest: how to pin it and to use it in an inventory.\n", program, trial.command)
	return a.print(driverNewDocument{FormatVersion: 1, Kind: f.kind, Name: name, Dir: f.dir, Module: f.module, Files: slices.Sorted(maps.Keys(files))})
}

// driverNewDocument is a driver of one's own, written to a folder.
type driverNewDocument struct {
	FormatVersion int    `json:"format_version"`
	Kind          string `json:"kind" jsonschema:"enum=packages,enum=snapshot"`
	Name          string `json:"name"`
	Dir           string `json:"dir"`
	// Module is the path of the Go module.
	Module string   `json:"module"`
	Files  []string `json:"files"`
}

// skeletonFiles are the files of an example with the driver's name in place.
func skeletonFiles(folder, old, name string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(examples.Drivers, folder, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(examples.Drivers, p)
		for _, form := range []string{"const name = %q", "ncfleet-driver-%s", "driver \"snapshot\" %q", "driver \"packages\" %q"} {
			text = bytes.ReplaceAll(text, fmt.Appendf(nil, form, old), fmt.Appendf(nil, form, name))
		}
		files[path.Base(p)] = text
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the example: %w", err)
	}
	return files, nil
}

func goMod(f newFlags) ([]byte, error) {
	goVersion, _, _ := strings.Cut(strings.TrimPrefix(runtime.Version(), "go"), " ")
	if strings.Count(goVersion, ".") == 2 {
		goVersion = goVersion[:strings.LastIndexByte(goVersion, '.')]
	}
	text := fmt.Sprintf("module %s\n\ngo %s\n\nrequire %s v0.0.0\n", f.module, goVersion, modulePath)
	if f.source == "" {
		return []byte(text), nil
	}
	dir, err := filepath.Abs(f.source)
	if err != nil {
		return nil, fmt.Errorf("cannot find the source: %w", err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !bytes.HasPrefix(mod, []byte("module "+modulePath+"\n")) {
		return nil, fmt.Errorf("--source %s is not ncfleet's source: its go.mod does not say module %s", f.source, modulePath)
	}
	return fmt.Appendf(nil, "%s\nreplace %s => %s\n", text, modulePath, quoteMod(dir)), nil
}

// quoteMod writes a path as go.mod wants it.
func quoteMod(p string) string {
	if strings.ContainsAny(p, " \t()\"'`,") {
		return fmt.Sprintf("%q", p)
	}
	return p
}

// trial is how a new driver is tried, with the files for that.
type trial struct {
	command string
	block   string
	files   map[string]string
}

func newTrial(name, kind string) trial {
	if kind == string(driver.KindSnapshot) {
		block := fmt.Sprintf("driver \"snapshot\" %q {\n  directory = \"/var/tmp/ncfleet-driver-%s\"\n}\n", name, name)
		return trial{
			command: fmt.Sprintf("ncfleet driver test ./ncfleet-driver-%s --config test.hcl", name),
			block:   block, files: map[string]string{"test.hcl": block},
		}
	}
	return trial{
		command: fmt.Sprintf("ncfleet driver test ./ncfleet-driver-%s --probes probes.json", name),
		block:   fmt.Sprintf("driver \"packages\" %q {}\n", name),
		files: map[string]string{"probes.json": `{
  "results": [
    {
      "exit": 0,
      "stdout": "[{\"name\": \"idna\", \"version\": \"3.6\", \"latest_version\": \"3.11\", \"latest_filetype\": \"wheel\"}]"
    },
    {
      "exit": 0,
      "stdout": "No broken requirements found.\n"
    }
  ]
}
`},
	}
}

func newReadme(name string, f newFlags, t trial) string {
	needs := "go.mod replaces it by a folder on this machine; change that line where the source lies elsewhere."
	if f.source == "" {
		needs = "Get its source and say where it lies: go mod edit -replace " + modulePath + "=DIR"
	}
	return strings.NewReplacer("NAME", name, "COMMAND", t.command, "BLOCK", "    "+strings.ReplaceAll(strings.TrimSpace(t.block), "\n", "\n    "),
		"USE", f.kind, "NEEDS", needs, "MODULE", modulePath).Replace(`# ncfleet-driver-NAME

A driver of kind "USE" for ncfleet. The contract is in the comments of MODULE/plugins/driver,
the wire in those of plugins/rpc. MODULE is not published as a module:
NEEDS

Build and try it:

    go mod tidy
    go test ./...
    go build -o ncfleet-driver-NAME .
    COMMAND

Use it:

    install -D ncfleet-driver-NAME ~/.local/lib/ncfleet/drivers/ncfleet-driver-NAME
    ncfleet driver lock       # accepts this very file; commit ncfleet.lock
    ncfleet driver list

with this in the inventory, and USE = "NAME" in the host blocks:

BLOCK

Other platforms: GOOS=linux GOARCH=arm64 go build …, and ncfleet driver lock on each; ncfleet.lock keeps
one checksum per platform side by side.
`)
}

// writeNew writes the files of a new folder, all or none.
func writeNew(dir string, files map[string][]byte) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("cannot write a new driver to %s: the folder is not empty; choose another one with --dir", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot write a new driver: %w", err)
	}
	var errs []error
	for name, text := range files {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot write a new driver: %w", err)
	}
	return nil
}
