package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/inventory"
)

// maxFormat bounds one file that is formatted, in bytes.
const maxFormat = 16 << 20

func fmtCommand(a *app) *cobra.Command {
	var check, show bool
	c := &cobra.Command{Use: "fmt [FILE|FOLDER...]", Short: "bring inventory files into their usual form", Args: cobra.ArbitraryArgs,
		Long: "fmt rewrites *.hcl files with the usual spaces and alignment and names those that it changed; without arguments,\n" +
			"the inventory's. \"-\" reads standard input and prints the result. Nothing but spaces changes; a file with an error\n" +
			"in its syntax stays as it is, and *.hcl.json files are left alone.",
		RunE: func(_ *cobra.Command, args []string) error {
			f := formatter{app: a, check: check, show: show, files: []formattedFile{}}
			err := f.run(args)
			var code *exitCode
			if slices.Contains(args, "-") || err != nil && !errors.As(err, &code) {
				return err // standard output holds the formatted text, or there is no result
			}
			if err := a.print(formattedDocument{1, f.files}); err != nil {
				return err
			}
			return err
		}}
	c.Flags().BoolVar(&check, "check", false, "change nothing; exit code 1 when something would change")
	c.Flags().BoolVar(&show, "diff", false, "print what changes; without --check it is changed too")
	return c
}

// formattedDocument tells of each file whether it was in the usual form.
type formattedDocument struct {
	FormatVersion int             `json:"format_version"`
	Files         []formattedFile `json:"files"`
}

type formattedFile struct {
	Name string `json:"name"`
	// Differs is whether it was not in the usual form, Written whether it is now.
	Differs bool `json:"differs"`
	Written bool `json:"written"`
}

// formatter is one run of fmt.
type formatter struct {
	files       []formattedFile
	app         *app
	check, show bool
	differ      bool // a file is not in the usual form
	broken      bool // a file could not be formatted
}

func (f *formatter) run(args []string) error {
	if len(args) == 0 {
		paths, err := f.app.paths()
		if err != nil {
			return err
		}
		args = paths
	}
	for _, arg := range args {
		if arg == "-" {
			if err := f.stdin(); err != nil {
				return err
			}
			continue
		}
		files, err := hclFiles(arg)
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := f.file(file); err != nil {
				return err
			}
		}
	}
	if f.broken || f.check && f.differ {
		return &exitCode{exitError, ""}
	}
	return nil
}

// hclFiles are the files that an argument stands for.
func hclFiles(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot format the inventory: %w", err)
	case info.IsDir():
		return filepath.Glob(filepath.Join(escapeGlob(arg), "*.hcl"))
	case strings.HasSuffix(arg, ".json"):
		return nil, nil
	case !strings.HasSuffix(arg, ".hcl"):
		return nil, &exitCode{exitUsage, fmt.Sprintf("error: %s: fmt takes files that end in .hcl", arg)}
	}
	return []string{arg}, nil
}

// escapeGlob quotes what filepath.Match would take for a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (f *formatter) stdin() error {
	src, err := readForFormat(f.app.stdin, "standard input")
	if err != nil {
		return err
	}
	out, ok, err := f.format("standard input", src)
	if err != nil || !ok || f.check || f.show {
		return err
	}
	_, err = f.app.stdout.Write(out)
	return err
}

func readForFormat(r io.Reader, name string) ([]byte, error) {
	src, err := io.ReadAll(io.LimitReader(r, maxFormat+1))
	if err != nil {
		return nil, fmt.Errorf("cannot format %s: %w", name, err)
	}
	if len(src) > maxFormat {
		return nil, fmt.Errorf("cannot format %s: it is larger than %d MiB", name, maxFormat>>20)
	}
	return src, nil
}

// format returns the usual form; ok is false for a file with errors, which
// were shown.
func (f *formatter) format(name string, src []byte) (out []byte, ok bool, err error) {
	out, diags := inventory.Format(src, name)
	if len(diags) > 0 {
		if err := diags.Render(f.app.stderr, f.app.color(f.app.stderr), f.app.width(f.app.stderr)); err != nil {
			return nil, false, err
		}
	}
	if diags.HasErrors() {
		f.broken = true
		return nil, false, nil
	}
	if bytes.Equal(src, out) {
		return out, true, nil
	}
	f.differ = true
	if f.show {
		if _, err := f.app.talk().Write(diff.Diff(name, src, name+" formatted", out)); err != nil {
			return nil, false, err
		}
	}
	return out, true, nil
}

func (f *formatter) file(name string) error {
	in, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot format the inventory: %w", err)
	}
	src, err := readForFormat(in, name)
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	out, ok, err := f.format(name, src)
	if err != nil || !ok {
		return err
	}
	told := formattedFile{Name: name, Differs: !bytes.Equal(src, out)}
	if told.Differs && !f.show {
		fmt.Fprintln(f.app.talk(), name)
	}
	if told.Differs && !f.check {
		if err := replaceFile(name, out); err != nil {
			return err
		}
		told.Written = true
	}
	f.files = append(f.files, told)
	return nil
}

// replaceFile writes a file anew beside the old one and renames it, with the
// old one's mode. A symbolic link stays one.
func replaceFile(name string, content []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write %s: %w", name, err)
		}
	}()
	if name, err = filepath.EvalSymlinks(name); err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".ncfleet-fmt-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
