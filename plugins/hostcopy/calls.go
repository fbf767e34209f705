package hostcopy

import (
	"context"
	"encoding/json"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// handleData is what a handle remembers.
type handleData struct {
	Directory string `json:"directory"` // that holds the snapshots
	Digest    string `json:"digest"`    // of SHA256SUMS
}

// Cover tells what a snapshot would capture. Users' files are always a hole:
// an upgrade does not touch them, and the controller knows whether they matter.
func (a *copier) Cover(ctx context.Context, s driver.Subject, run driver.Runner) (driver.Coverage, error) {
	c := driver.Coverage{Consistent: true, BytesFree: -1, BytesNeed: -1}
	args, err := a.arguments(s)
	if err != nil {
		return c, err
	}
	out, err := a.call(ctx, run, "look at host "+s.Host, coverScript, lookTimeout, append(args, "name=cover"))
	if err != nil {
		return c, err
	}
	told := readCover(&c, s, string(out))
	for _, p := range s.Places {
		if told[p.Part+driver.Part(p.Path)] {
			continue
		}
		if why := leftAlone(p.Part); why != "" {
			c.Missing = append(c.Missing, driver.Hole{Place: p, Reason: why})
		} else if !told[p.Part] {
			c.Missing = append(c.Missing, driver.Hole{Place: p, Reason: "this driver does not know how to capture it"})
		}
	}
	return c, nil
}

// leftAlone is why a part is left out by design, "" for captured parts.
func leftAlone(p driver.Part) string {
	switch p {
	case driver.PartData:
		return "left alone: users' files are not touched by an upgrade"
	case driver.PartObjects:
		return "left alone: objects are not touched by an upgrade"
	case driver.PartSystem:
		return "packages are not captured: use a driver that snapshots the whole disk to be able to undo them"
	case driver.PartCode, driver.PartConfig, driver.PartApps, driver.PartDatabase:
		return ""
	default:
		return ""
	}
}

// readCover fills c from the script's lines and returns the parts, and the
// parts with path, that the script spoke of.
func readCover(c *driver.Coverage, s driver.Subject, out string) map[driver.Part]bool {
	told := map[driver.Part]bool{}
	var notes []string
	for _, line := range strings.Split(out, "\n") {
		f := strings.Split(line, "\t")
		if len(f) == 4 {
			p := placeOf(s, driver.Part(f[1]), f[2])
			told[p.Part+driver.Part(p.Path)] = true
			if p.Part != driver.PartApps {
				told[p.Part] = true
			}
			if f[0] == "missing" {
				c.Missing = append(c.Missing, driver.Hole{Place: p, Reason: f[3]})
				continue
			}
			if p.Detail == "" {
				p.Detail = f[3]
			}
			c.Captured = append(c.Captured, p)
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "free":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				c.BytesFree = n * 1024
			}
		case "need":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				c.BytesNeed = n
			}
		case "note":
			notes = append(notes, value)
		}
	}
	c.Note = strings.Join(notes, "; ")
	return told
}

// placeOf finds the subject's own words for a place the host reported.
func placeOf(s driver.Subject, part driver.Part, where string) driver.Place {
	for _, p := range s.Places {
		if p.Part == part && (p.Path == where || part == driver.PartDatabase || part == driver.PartConfig) {
			return p
		}
	}
	return driver.Place{Part: part, Path: where}
}

// Prepare archives the trees while users work.
func (a *copier) Prepare(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) error {
	args, err := a.request(r)
	if err != nil {
		return err
	}
	_, err = a.call(ctx, run, "prepare the snapshot "+r.Key+" on host "+r.Subject.Host, prepareScript, workTimeout, args)
	return err
}

// Create captures the closed target and returns when all of it is on disk.
func (a *copier) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	args, err := a.request(r)
	if err != nil {
		return driver.Handle{}, err
	}
	base, err := a.base(r.Subject)
	if err != nil {
		return driver.Handle{}, err
	}
	what := "take the snapshot " + r.Key + " on host " + r.Subject.Host
	out, err := a.call(ctx, run, what, createScript, workTimeout, args)
	if err != nil {
		return driver.Handle{}, err
	}
	found := a.readReports(base, string(out))
	if len(found) != 1 {
		return driver.Handle{}, driver.Errorf(driver.Permanent, "cannot %s: the host's answer is not understood", what)
	}
	return found[0].Handle, nil
}

// request is the arguments of a call about one key.
func (a *copier) request(r driver.SnapshotRequest) ([]string, error) {
	name, err := NameOf(r.Key)
	if err != nil {
		return nil, err
	}
	args, err := a.arguments(r.Subject)
	if err != nil {
		return nil, err
	}
	return append(args, "key="+r.Key, "name="+name), nil
}

// Verify reads the snapshot back.
func (a *copier) Verify(ctx context.Context, h driver.Handle, run driver.Runner) (driver.Verification, error) {
	args, err := a.handle(h)
	if err != nil {
		return driver.Verification{}, err
	}
	args = append(args, "keep="+strconv.Itoa(a.keep))
	out, err := a.call(ctx, run, "verify the snapshot "+h.Key, verifyScript, workTimeout, args)
	if err != nil {
		return driver.Verification{}, err
	}
	f := fields(out)
	bytes, _ := strconv.ParseInt(f["bytes"], 10, 64)
	return driver.Verification{Verified: f["verified"] == "yes", Digest: f["digest"], Bytes: bytes, Detail: f["detail"]}, nil
}

// Restore puts every captured place back; see the package documentation.
func (a *copier) Restore(ctx context.Context, h driver.Handle, s driver.Subject, run driver.Runner) error {
	args, err := a.handle(h)
	if err != nil {
		return err
	}
	args = append(args, "host="+s.Host, "instance="+s.Instance)
	if s.WebUser != "" {
		args = append(args, "web="+s.WebUser)
	}
	if s.PHP != "" {
		args = append(args, "php="+s.PHP)
	}
	_, err = a.call(ctx, run, "restore the snapshot "+h.Key+" on host "+s.Host, restoreScript, workTimeout, args)
	return err
}

// Delete removes the snapshot and the bad trees that restoring it left behind.
func (a *copier) Delete(ctx context.Context, h driver.Handle, run driver.Runner) error {
	args, err := a.handle(h)
	if err != nil {
		return err
	}
	_, err = a.call(ctx, run, "delete the snapshot "+h.Key, deleteScript, lookTimeout, args)
	return err
}

// List returns the subject's whole snapshots, newest first.
func (a *copier) List(ctx context.Context, s driver.Subject, run driver.Runner) ([]driver.Snapshot, error) {
	base, err := a.base(s)
	if err != nil {
		return nil, err
	}
	out, err := a.call(ctx, run, "list the snapshots of "+s.Instance+" on host "+s.Host, listScript, lookTimeout,
		[]string{"base=" + base, "host=" + s.Host, "instance=" + s.Instance})
	if err != nil {
		return nil, err
	}
	found := a.readReports(base, string(out))
	sort.SliceStable(found, func(i, j int) bool {
		if found[i].Created != found[j].Created {
			return found[i].Created > found[j].Created
		}
		return found[i].Handle.Key > found[j].Handle.Key
	})
	return found, nil
}

// handle checks a handle and turns it into arguments.
func (a *copier) handle(h driver.Handle) ([]string, error) {
	var d handleData
	if h.Driver != a.store.Name || h.Version != handleVersion || json.Unmarshal(h.Data, &d) != nil || !cleanPath(d.Directory) {
		return nil, driver.Errorf(driver.Permanent, "the handle of snapshot %q is not one of the %s driver's", h.Key, a.store.Name)
	}
	name, err := NameOf(h.Key)
	if err != nil {
		return nil, err
	}
	return []string{"base=" + path.Clean(d.Directory), "key=" + h.Key, "name=" + name, "digest=" + d.Digest}, nil
}

// readReports reads the snapshots that a script reported.
func (a *copier) readReports(base, out string) []driver.Snapshot {
	var found []driver.Snapshot
	for _, line := range strings.Split(out, "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 6 || f[0] != "snapshot" {
			continue
		}
		created, _ := strconv.ParseInt(f[2], 10, 64)
		size, _ := strconv.ParseInt(f[3], 10, 64)
		data, err := json.Marshal(handleData{Directory: base, Digest: f[4]})
		if err != nil {
			continue
		}
		found = append(found, driver.Snapshot{
			Handle:  driver.Handle{Driver: a.store.Name, Version: handleVersion, Key: f[1], Data: data},
			Created: created, Bytes: size,
		})
	}
	return found
}
