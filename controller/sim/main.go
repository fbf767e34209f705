package sim

import (
	"archive/zip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Main runs a stand-in when this process is one: called by a stand-in's name
// with the variable NCFLEET_SIM_HOST set, or as "PROGRAM sim-host TOOL ARGS…".
// It returns the exit status; handled is false when the process is no stand-in
// and must go on by itself. Call it before anything slow is set up.
func Main(argv []string) (status int, handled bool) {
	dir := os.Getenv(envHost)
	if dir == "" || len(argv) == 0 {
		return 0, false
	}
	tool, args := filepath.Base(argv[0]), argv[1:]
	if len(argv) > 2 && argv[1] == "sim-host" {
		tool, args = argv[2], argv[3:]
	}
	run, ok := tools[tool]
	if !ok {
		return 0, false
	}
	h, err := loadHost(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 70, true
	}
	cwd, err := os.Getwd()
	if err != nil {
		cwd = "/"
	}
	p := &process{host: h, args: args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, cwd: cwd, getenv: os.Getenv}
	return run(p), true
}

var tools = map[string]func(*process) int{
	"php": (*process).php, "apt-get": (*process).aptGet, "unzip": (*process).unzip, "setsid": (*process).setsid,
	"stat": (*process).stat, "confine": (*process).confine,
	"sha256sum": func(p *process) int { return p.checksum(sha256.New) },
	"sha512sum": func(p *process) int { return p.checksum(sha512.New) },
}

// unzip stands in for "unzip -q ARCHIVE -d FOLDER".
func (p *process) unzip() int {
	var archive, dir string
	for i := 0; i < len(p.args); i++ {
		switch a := p.args[i]; {
		case a == "-d" && i+1 < len(p.args):
			i++
			dir = p.args[i]
		case !strings.HasPrefix(a, "-"):
			archive = a
		}
	}
	z, err := zip.OpenReader(archive)
	if err != nil {
		p.complain("unzip:  cannot open %s: %v\n", archive, err)
		return 9
	}
	defer z.Close()
	for _, f := range z.File {
		if !filepath.IsLocal(f.Name) {
			p.complain("unzip:  refused the name %s\n", f.Name)
			return 2
		}
		if err := unzipOne(f, filepath.Join(dir, filepath.FromSlash(f.Name))); err != nil {
			p.complain("unzip:  %v\n", err)
			return 50
		}
	}
	return 0
}

func unzipOne(f *zip.File, to string) error {
	if f.FileInfo().IsDir() {
		return os.MkdirAll(to, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, f.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if e := w.Close(); err == nil {
		err = e
	}
	return err
}

// setsid runs a program in a session of its own.
func (p *process) setsid() int {
	if len(p.args) == 0 {
		return 64
	}
	path, err := exec.LookPath(p.args[0])
	if err != nil {
		p.complain("setsid: %v\n", err)
		return 127
	}
	if _, err := syscall.Setsid(); err == nil {
		p.complain("setsid: %v\n", syscall.Exec(path, p.args, os.Environ()))
		return 126
	}
	// A group's leader cannot: its child can.
	cmd := exec.Command(path, p.args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if three := os.NewFile(3, "3"); three != nil {
		if _, err := three.Stat(); err == nil {
			cmd.ExtraFiles = []*os.File{three}
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		p.complain("setsid: %v\n", err)
		return 126
	}
	cmd.Wait() // the state says it all
	return exitStatus(cmd.ProcessState)
}

// checksum prints "HEX  NAME" of each file, or of standard input, and checks
// such lines with -c.
func (p *process) checksum(sum func() hash.Hash) int {
	check := slices.Contains(p.args, "-c")
	files := slices.DeleteFunc(slices.Clone(p.args), func(a string) bool { return strings.HasPrefix(a, "-") })
	if len(files) == 0 {
		files = []string{"-"}
	}
	status := 0
	for _, name := range files {
		if check {
			status = max(status, p.checkSums(sum, name))
			continue
		}
		got, err := p.sumOf(sum, name)
		if err != nil {
			p.complain("%v\n", err)
			status = 1
			continue
		}
		p.say("%s  %s\n", got, name)
	}
	return status
}

func (p *process) sumOf(sum func() hash.Hash, name string) (string, error) {
	in := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	s := sum()
	if _, err := io.Copy(s, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(s.Sum(nil)), nil
}

func (p *process) checkSums(sum func() hash.Hash, list string) int {
	text, err := os.ReadFile(list)
	if err != nil {
		p.complain("%v\n", err)
		return 1
	}
	status := 0
	for line := range strings.Lines(string(text)) {
		want, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			continue
		}
		if got, err := p.sumOf(sum, name); err != nil || got != want {
			p.say("%s: FAILED\n", name)
			status = 1
			continue
		}
		p.say("%s: OK\n", name)
	}
	return status
}
