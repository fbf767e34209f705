package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Image is a copy of all disks of a host, as they were at one moment.
type Image struct {
	Name    string
	Created time.Time
	Labels  map[string]string // the caller's own
	Bytes   int64             // what it takes on this machine
}

// imageForm is what an image may be called.
var imageForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)

// imageLimit bounds the making of an image and the restore of one.
const imageLimit = 5 * time.Minute

// diskFiles are what a data disk lies in, whatever its kind.
var diskFiles = []string{"srv.img", "srv.img.btrfs"}

func (h *Host) image(name string) string { return h.file(filepath.Join("images", name)) }

// Image keeps the host's disks under a name. The host stands still meanwhile, so
// that they show one moment; what it held in its page cache is in the image, what
// its processes held in memory is not. The error is fs.ErrExist when there is one
// of that name. When ctx ends, the image is made to its end all the same.
func (h *Host) Image(ctx context.Context, name string, labels map[string]string) error {
	if !imageForm.MatchString(name) {
		return fmt.Errorf("%q cannot be the name of an image: write letters, digits, - and _", name)
	}
	if h.Disk == "tmpfs" {
		return fmt.Errorf("%s has its data in memory: there is no disk to keep", h.Name)
	}
	if _, err := os.Stat(h.image(name)); err == nil {
		return fmt.Errorf("%s has an image %s already: %w", h.Name, name, fs.ErrExist)
	}
	about, err := json.Marshal(Image{Name: name, Created: time.Now().UTC().Round(0), Labels: labels})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.file("images"), 0o700); err != nil {
		return err
	}
	script, err := recipes.ReadFile("recipes/image.sh")
	if err != nil {
		return err
	}
	holder, err := h.lab.holderProcess()
	if err != nil {
		return err
	}
	freezer, frozen, thawed := h.freezerFile()
	// Not with the context, and in a session of its own: a host whose freezer's
	// script is killed would stay frozen.
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(holder.PID), "-m", "--",
		"sh", "-c", string(script), "image.sh", h.file(""), name, string(about), freezer, frozen, thawed)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return h.made(ctx, cmd, name)
}

// made runs the script of an image, and no longer than ctx lasts waits for it.
func (h *Host) made(ctx context.Context, cmd *exec.Cmd, name string) error {
	type result struct {
		said []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		said, err := cmd.CombinedOutput()
		done <- result{said, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return fmt.Errorf("cannot make the image %s of %s: %w%s", name, h.Name, r.err, after(string(r.said)))
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Images lists the host's images, oldest first.
func (h *Host) Images(ctx context.Context) ([]Image, error) {
	found, err := filepath.Glob(h.image("*/about.json"))
	if err != nil {
		return nil, err
	}
	var list []Image
	for _, path := range found {
		dir := filepath.Dir(path)
		if !imageForm.MatchString(filepath.Base(dir)) {
			continue // in the making, or on its way out
		}
		var i Image
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err == nil {
			err = json.Unmarshal(data, &i)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read an image of %s: %w", h.Name, err)
		}
		if out, err := tool(ctx, "du", "-s", "-B1", dir); err == nil {
			size, _, _ := strings.Cut(out, "\t")
			i.Bytes, _ = strconv.ParseInt(size, 10, 64) // 0 is unknown
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b Image) int { return a.Created.Compare(b.Created) })
	return list, nil
}

// RemoveImage removes an image; a missing one is no error.
func (h *Host) RemoveImage(name string) error {
	if !imageForm.MatchString(name) {
		return nil
	}
	gone := h.image(name + ".gone")
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(h.image(name), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the image %s of %s: %w", name, h.Name, err)
	}
	return os.RemoveAll(gone)
}

// restoring is what RestoreImage asks of the holder, and its answer.
type restoring struct {
	ID, Image string
	Error     string `json:",omitempty"`
}

// RestoreImage cuts the host's power, puts its disks back from the image and
// switches it on. It returns when the host boots; AwaitSSH waits for more. The
// image stays. The holder does it, so that nothing is left half done by a caller
// that dies.
func (h *Host) RestoreImage(ctx context.Context, name string) error {
	if _, err := os.Stat(h.image(name)); err != nil || !imageForm.MatchString(name) {
		return fmt.Errorf("%s has no image %q: %w", h.Name, name, fs.ErrNotExist)
	}
	wish := restoring{ID: strconv.FormatInt(time.Now().UnixNano(), 36), Image: name}
	data, err := json.Marshal(wish)
	if err != nil {
		return err
	}
	if err := writeFile(h.file("restore-image"), data, 0o600); err != nil {
		return fmt.Errorf("cannot restore %s: %w", h.Name, err)
	}
	// A restore that an earlier caller asked for may be under way: its boot is
	// not ours, and then the power is cut once more.
	for range 3 {
		if done, err := h.restoreCycle(ctx, wish.ID); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("cannot restore %s: somebody else restores or switches it at the same time", h.Name)
}

// restoreCycle cuts the power and waits for the next boot; done tells whether
// the wish of that id was met by then.
func (h *Host) restoreCycle(ctx context.Context, id string) (done bool, err error) {
	before, err := h.power()
	if err != nil {
		return false, err
	}
	if err := h.cyclePower(before); err != nil {
		return false, err
	}
	problem := ""
	err = poll(ctx, imageLimit, "the restored disks of "+h.Name, func() bool {
		var answer restoring
		data, err := os.ReadFile(h.file("restored-image"))
		done = err == nil && json.Unmarshal(data, &answer) == nil && answer.ID == id
		if done && answer.Error != "" {
			problem = answer.Error
			return true // it cannot boot
		}
		// With the disks that a failed restore left it does not even boot.
		p, err := h.power()
		return err == nil && p.Boots > before.Boots && (p.State != powerOff || !done)
	})
	if problem != "" {
		err = fmt.Errorf("cannot restore %s: %s", h.Name, problem)
	}
	return done, err
}

// Powered reports whether the host's machine runs; its sshd may not yet.
func (h *Host) Powered() (bool, error) {
	p, err := h.power()
	return err == nil && p.State != powerOff && p.Init.alive(), err
}

// answerRestore puts back the disks of a host that is off, when RestoreImage
// asked for it.
func (l *Lab) answerRestore(ctx context.Context, h hostState) {
	var wish restoring
	data, err := os.ReadFile(l.hostFile(h.Name, "restore-image"))
	if err != nil || json.Unmarshal(data, &wish) != nil {
		return
	}
	_ = os.Remove(l.hostFile(h.Name, "restore-image")) // it was there just now
	if err := l.putImage(ctx, h, wish.Image); err != nil {
		l.say("%s: %v", h.Name, err)
		wish.Error = err.Error()
	}
	if data, err = json.Marshal(wish); err == nil {
		err = writeFile(l.hostFile(h.Name, "restored-image"), data, 0o600)
	}
	if err != nil {
		l.say("%s: %v", h.Name, err) // RestoreImage says that nothing came
	}
}

func (l *Lab) putImage(ctx context.Context, h hostState, name string) error {
	st, err := l.load()
	if err != nil {
		return err
	}
	image := l.hostFile(h.Name, filepath.Join("images", name))
	if _, err := os.Stat(image); err != nil {
		return err
	}
	if err := l.dropDisks(ctx, h); err != nil {
		return err
	}
	if err := os.MkdirAll(l.hostFile(h.Name, "work"), 0o755); err != nil {
		return err
	}
	if _, err := tool(ctx, "cp", "-a", "--reflink=auto", filepath.Join(image, "upper"), l.hostFile(h.Name, "")); err != nil {
		return err
	}
	if _, err := l.mountRoot(ctx, st, h); err != nil {
		return err
	}
	for _, disk := range diskFiles {
		if _, err := os.Stat(filepath.Join(image, disk)); err != nil {
			continue
		}
		file := l.hostFile(h.Name, disk)
		if _, err := tool(ctx, "cp", "--sparse=always", "--reflink=auto", filepath.Join(image, disk), file); err != nil {
			return err
		}
		if _, err := tool(ctx, "mount", "-o", "loop", file, l.hostFile(h.Name, "srv")); err != nil {
			return err
		}
	}
	return nil
}
