// Command ncfleet-driver-copy is a snapshot driver of one's own, whole and
// small: it copies trees and SQLite files with cp -a into a folder of the host.
// It refuses databases that are no file and trees that hold users' files.
//
//	driver "snapshot" "copy" { directory = "/srv/copies" }
package main

import (
	"context"
	_ "embed"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

const name = "copy" // in an inventory; the executable is ncfleet-driver-NAME

//go:embed host.sh
var script string

func main() { rpc.Serve(&copies{}) }

type copies struct {
	directory string
	keys      sync.Map // key → *sync.Mutex: one Create of a key at a time
}

func (*copies) Info(context.Context) (driver.Info, error) {
	return driver.Info{Name: name, Version: "0.1.0", Kind: driver.KindSnapshot, Schema: driver.Schema{Attributes: []driver.Attribute{
		{Name: "directory", Type: "string", Required: true, Help: "The folder on the host that holds the copies."},
	}}}, nil
}

func (c *copies) Configure(_ context.Context, block driver.Config) error {
	c.directory, _ = block["directory"].(string)
	if !path.IsAbs(c.directory) || path.Clean(c.directory) == "/" {
		return driver.Errorf(driver.Permanent, "directory = %q: write an absolute path, such as /srv/copies", c.directory)
	}
	return nil
}

func (c *copies) Cover(_ context.Context, s driver.Subject, _ driver.Runner) (driver.Coverage, error) {
	cover, data := driver.Coverage{Consistent: true, BytesFree: -1, BytesNeed: -1}, s.Path(driver.PartData)
	for _, p := range s.Places {
		why := ""
		switch {
		case p.Part == driver.PartData || p.Part == driver.PartObjects || p.Part == driver.PartSystem:
			why = "this driver does not copy " + string(p.Part)
		case p.Path == "":
			why = "this driver copies files, not database servers"
		case p.Part != driver.PartDatabase && strings.HasPrefix(data+"/", p.Path+"/"):
			why = "users' files lie in it: " + data
		case strings.Contains(p.Path, "\n"):
			why = "its path holds a line break"
		}
		if why != "" {
			cover.Missing = append(cover.Missing, driver.Hole{Place: p, Reason: why})
			continue
		}
		cover.Captured = append(cover.Captured, p)
	}
	return cover, nil
}

// Prepare has nothing to do ahead.
func (*copies) Prepare(context.Context, driver.SnapshotRequest, driver.Runner) error { return nil }

func (c *copies) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	lock, _ := c.keys.LoadOrStore(r.Key, &sync.Mutex{})
	lock.(*sync.Mutex).Lock()
	defer lock.(*sync.Mutex).Unlock()
	h := c.handle(r.Key)
	args := []string{"create", string(h.Data), owner(r.Subject)}
	cover, _ := c.Cover(ctx, r.Subject, run)
	for _, p := range cover.Captured {
		args = append(args, p.Path)
	}
	_, err := call(ctx, run, args...)
	return h, err
}

func (*copies) Verify(ctx context.Context, h driver.Handle, run driver.Runner) (driver.Verification, error) {
	out, err := act(ctx, "verify", h, run)
	return driver.Verification{Verified: out == "whole", Bytes: -1, Detail: "checksums of all files: " + out}, err
}

func (*copies) Restore(ctx context.Context, h driver.Handle, _ driver.Subject, run driver.Runner) error {
	_, err := act(ctx, "restore", h, run)
	return err
}

func (*copies) Delete(ctx context.Context, h driver.Handle, run driver.Runner) error {
	_, err := act(ctx, "delete", h, run)
	return err
}

func (c *copies) List(ctx context.Context, s driver.Subject, run driver.Runner) ([]driver.Snapshot, error) {
	out, err := call(ctx, run, "list", c.directory, owner(s), name)
	var all []driver.Snapshot
	for _, line := range strings.Split(out, "\n") {
		var created int64
		var file string
		if n, _ := fmt.Sscan(line, &created, &file); n == 2 {
			key := strings.ReplaceAll(strings.TrimPrefix(file, name+"+"), "+", "/")
			all = append(all, driver.Snapshot{Handle: c.handle(key), Created: created, Bytes: -1})
		}
	}
	return all, err
}

func owner(s driver.Subject) string { return s.Host + "/" + s.Instance }

// folder is a key as one file name; keys hold no "+".
func folder(key string) string { return name + "+" + strings.ReplaceAll(key, "/", "+") }

func (c *copies) handle(key string) driver.Handle {
	return driver.Handle{Driver: name, Version: 1, Key: key, Data: []byte(path.Join(c.directory, folder(key)))}
}

// act does something to the copy of a handle, unless the handle is not ours.
func act(ctx context.Context, op string, h driver.Handle, run driver.Runner) (string, error) {
	dir := string(h.Data)
	if h.Driver != name || !path.IsAbs(dir) || path.Clean(dir) != dir || path.Base(dir) != folder(h.Key) {
		return "", driver.Errorf(driver.Permanent, "cannot use the handle %q: it is not of this driver, or damaged", h.Key)
	}
	return call(ctx, run, op, dir)
}

// call runs the script on the host. A repeated call has the effect of one, so
// a host that could not be reached may be asked again.
func call(ctx context.Context, run driver.Runner, args ...string) (string, error) {
	r, err := run.Run(ctx, driver.Command{Argv: append([]string{"sh", "-s", "--"}, args...), Stdin: []byte(script), User: "root", Timeout: 2 * time.Hour})
	switch {
	case err != nil:
		return "", driver.Errorf(driver.Retryable, "cannot %s a copy: %v", args[0], err)
	case r.Exit != 0:
		class, known := map[int]driver.Class{66: driver.NotFound, 74: driver.Quota}[r.Exit]
		if !known {
			class = driver.Permanent
		}
		return "", driver.Errorf(class, "cannot %s a copy (exit %d): %s", args[0], r.Exit, strings.TrimSpace(string(r.Stderr)))
	}
	return strings.TrimSpace(string(r.Stdout)), nil
}
