package proxmox

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// snapshot is one as Proxmox VE lists it; "current" stands for the guest itself.
type snapshot struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Time        number `json:"snaptime"`
	State       string `json:"snapstate"` // "prepare" or "delete" while at work, or when that failed
}

// name is unique for a key in a guest and fits the 40 characters that a
// snapshot's name may have.
func name(key string) string { return "ncfleet-" + cloud.Digest(key) }

// description carries the tags, one a line after a line for people.
func description(t cloud.Tags) string {
	lines := []string{"Taken by ncfleet before an upgrade; ncfleet deletes it."}
	for name, value := range t.Map() {
		lines = append(lines, name+": "+value)
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

func (s snapshot) tags() (cloud.Tags, bool) {
	m := map[string]string{}
	for line := range strings.SplitSeq(s.Description, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			m[name] = value
		}
	}
	return cloud.ReadTags(m)
}

// Snaps lists this driver's snapshots.
func (p *provider) Snaps(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	all, err := p.guests(ctx)
	if err != nil {
		return nil, err
	}
	var found []cloud.Snap
	for _, g := range all {
		if f.Machine != "" && f.Machine != g.id() {
			continue
		}
		snaps, err := p.snaps(ctx, g)
		if missing(err) {
			continue // it was destroyed meanwhile
		}
		if err != nil {
			return nil, err
		}
		for _, s := range snaps {
			if f.Matches(s) {
				found = append(found, s)
			}
		}
	}
	return found, nil
}

func (p *provider) snaps(ctx context.Context, g guest) ([]cloud.Snap, error) {
	var all []snapshot
	if err := p.api.get(ctx, "list the snapshots of "+g.String(), g.path("/snapshot"), nil, &all); err != nil {
		return nil, err
	}
	var found []cloud.Snap
	for _, s := range all {
		t, ours := s.tags()
		if !ours || s.Name != name(t.Key) {
			continue
		}
		n := cloud.Snap{ID: s.Name, Unit: wholeUnit, Key: t.Key, Machine: g.id(), Host: t.Host, State: cloud.Ready, Created: time.Unix(int64(s.Time), 0)}
		if s.State != "" {
			// It is being made or deleted, or that failed half-way.
			n.State = cloud.Failed
			running, err := p.tasks(ctx, g)
			if err != nil {
				return nil, err
			}
			if len(running) > 0 {
				n.State = cloud.Pending
			}
		}
		found = append(found, n)
	}
	return found, nil
}

func (p *provider) keyed(ctx context.Context, g guest, key string) (cloud.Snap, bool, error) {
	all, err := p.snaps(ctx, g)
	for _, s := range all {
		if s.Key == key {
			return s, true, err
		}
	}
	return cloud.Snap{}, false, err
}

// Begin takes the snapshot and waits for its task, whose end tells what went
// wrong.
func (p *provider) Begin(ctx context.Context, m cloud.Machine, _ cloud.Unit, t cloud.Tags) (cloud.Snap, error) {
	g, err := p.find(ctx, m.ID)
	if err != nil {
		return cloud.Snap{}, err
	}
	if err := p.settle(ctx, g); err != nil {
		return cloud.Snap{}, err
	}
	if s, ok, err := p.keyed(ctx, g, t.Key); ok || err != nil {
		return s, err
	}
	form := url.Values{"snapname": {name(t.Key)}, "description": {description(t)}}
	if g.Type == "qemu" {
		form.Set("vmstate", "0")
	}
	if err := p.act(ctx, "take a snapshot of "+g.String(), http.MethodPost, g.path("/snapshot"), form); err != nil {
		return cloud.Snap{}, err
	}
	s, ok, err := p.keyed(ctx, g, t.Key)
	if err == nil && !ok {
		err = driver.Errorf(driver.Retryable, "the snapshot of %s was taken and is not shown", g)
	}
	return s, err
}

// Delete removes one snapshot that bears the marks, and nothing else.
func (p *provider) Delete(ctx context.Context, s cloud.Snap) error {
	g, err := p.find(ctx, s.Machine)
	if missing(err) {
		return nil // a snapshot is a part of its guest
	}
	if err != nil {
		return err
	}
	if err := p.settle(ctx, g); err != nil {
		return err
	}
	have, ok, err := p.keyed(ctx, g, s.Key)
	if err != nil || !ok || have.ID != s.ID {
		return err
	}
	err = p.act(ctx, "delete the snapshot "+s.ID+" of "+g.String(), http.MethodDelete, g.path("/snapshot/"+url.PathEscape(s.ID)), nil)
	if missing(err) {
		return nil
	}
	return err
}

// Restore stops the guest, rolls it back and starts it. Each stage looks first
// at what is there; a rollback may be done twice.
func (p *provider) Restore(ctx context.Context, m cloud.Machine, snaps []cloud.Snap, s cloud.Stages) error {
	g, err := p.find(ctx, m.ID)
	if err != nil {
		return err
	}
	if len(snaps) != 1 {
		return driver.Errorf(driver.Permanent, "the handle names %d snapshots of %s, want 1", len(snaps), g)
	}
	if err := p.settle(ctx, g); err != nil {
		return err
	}
	if err := p.reach(ctx, s, g, "stopped", "/status/stop"); err != nil {
		return err
	}
	err = p.act(ctx, "roll "+g.String()+" back", http.MethodPost, g.path("/snapshot/"+url.PathEscape(snaps[0].ID)+"/rollback"), url.Values{})
	if err != nil {
		return err
	}
	return p.reach(ctx, s, g, cloud.Running, "/status/start")
}

// reach brings the guest into a state. In high availability the task ends
// before the cluster has done what it asks for, so the state itself is awaited.
func (p *provider) reach(ctx context.Context, s cloud.Stages, g guest, want, action string) error {
	now, err := p.state(ctx, g)
	if err != nil || now == want {
		return err
	}
	if err := p.act(ctx, "have "+g.String()+" "+want, http.MethodPost, g.path(action), url.Values{}); err != nil {
		return err
	}
	return s.Wait(ctx, g.String()+" to be "+want, func(ctx context.Context) (bool, error) {
		now, err := p.state(ctx, g)
		return err == nil && now == want, err
	})
}
