package libvirt

import (
	"bytes"
	"context"
	"encoding/xml"
	"slices"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// wholeUnit is the unit that stands for the domain with all its disks.
const wholeUnit = "machine"

// snapshotXML is a snapshot's description. The tags stand in its text, one a
// line after a line for people.
type snapshotXML struct {
	XMLName     xml.Name `xml:"domainsnapshot"`
	Name        string   `xml:"name"`
	Description string   `xml:"description"`
	Created     int64    `xml:"creationTime,omitempty"`
}

func newSnapshotXML(t cloud.Tags) (string, error) {
	lines := []string{"Taken by ncfleet before an upgrade; ncfleet deletes it."}
	for name, value := range t.Map() {
		lines = append(lines, name+": "+value)
	}
	slices.Sort(lines[1:])
	out, err := xml.Marshal(snapshotXML{Name: t.Name(), Description: strings.Join(lines, "\n")})
	return string(out), err
}

func (x snapshotXML) tags() (cloud.Tags, bool) {
	m := map[string]string{}
	for line := range strings.SplitSeq(x.Description, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			m[name] = value
		}
	}
	return cloud.ReadTags(m)
}

// Snaps lists this driver's snapshots.
func (p *provider) Snaps(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	var found []cloud.Snap
	domains, err := p.domains(ctx, f.Machine)
	if err != nil {
		return nil, err
	}
	for _, d := range domains {
		snaps, err := d.snaps(ctx)
		if missing(err) {
			continue // it was undefined meanwhile
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

// domains returns the one of that UUID, none if it is gone, or all.
func (p *provider) domains(ctx context.Context, id string) (all []domain, err error) {
	if id != "" {
		d, err := p.find(ctx, id)
		if missing(err) {
			return nil, nil
		}
		return []domain{d}, err
	}
	for _, h := range p.hypervisors {
		refs, err := call(ctx, h, func(c *libvirt.Libvirt) ([]libvirt.Domain, error) {
			refs, _, err := c.ConnectListAllDomains(1, 0)
			return refs, err
		}, "list the domains of %s", h)
		if err != nil {
			return nil, err
		}
		for _, r := range refs {
			all = append(all, domain{h, r})
		}
	}
	return all, nil
}

// snaps returns the domain's snapshots that bear our tags. While an operation
// is at work on the domain none of them counts as ready: libvirt lists a
// snapshot from the moment it begins to make it.
func (d domain) snaps(ctx context.Context) ([]cloud.Snap, error) {
	refs, err := call(ctx, d.on, func(c *libvirt.Libvirt) ([]libvirt.DomainSnapshot, error) {
		refs, _, err := c.DomainListAllSnapshots(d.ref, 1, 0)
		return refs, err
	}, "list the snapshots of the domain %s", d.ref.Name)
	if err != nil {
		return nil, err
	}
	var found []cloud.Snap
	for _, ref := range refs {
		text, err := call(ctx, d.on, func(c *libvirt.Libvirt) (string, error) { return c.DomainSnapshotGetXMLDesc(ref, 0) },
			"read the snapshot %s of the domain %s", ref.Name, d.ref.Name)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var x snapshotXML
		if err := xml.NewDecoder(bytes.NewReader([]byte(text))).Decode(&x); err != nil {
			return nil, driver.Errorf(driver.Permanent, "cannot read the description of the snapshot %s of the domain %s: %v", ref.Name, d.ref.Name, err)
		}
		if t, ours := x.tags(); ours {
			found = append(found, cloud.Snap{ID: ref.Name, Unit: wholeUnit, Key: t.Key, Machine: d.id(), Host: t.Host,
				State: cloud.Ready, Created: time.Unix(x.Created, 0)})
		}
	}
	if len(found) > 0 && d.busy(ctx) {
		for i := range found {
			found[i].State = cloud.Pending
		}
	}
	return found, nil
}

// busy reports whether an operation is at work on the domain. Hypervisors that
// cannot tell have none.
func (d domain) busy(ctx context.Context) bool {
	kind, err := call(ctx, d.on, func(c *libvirt.Libvirt) (int32, error) {
		kind, _, _, _, _, _, _, _, _, _, _, _, err := c.DomainGetJobInfo(d.ref)
		return kind, err
	}, "ask what the domain %s does", d.ref.Name)
	return err == nil && libvirt.DomainJobType(kind) != libvirt.DomainJobNone &&
		libvirt.DomainJobType(kind) != libvirt.DomainJobCompleted && libvirt.DomainJobType(kind) != libvirt.DomainJobFailed
}

// Begin takes the snapshot. The daemon answers when it is done; a snapshot's
// name is used once in a domain, so that a repeated call makes no second one.
func (p *provider) Begin(ctx context.Context, m cloud.Machine, _ cloud.Unit, t cloud.Tags) (cloud.Snap, error) {
	d, err := p.find(ctx, m.ID)
	if err != nil {
		return cloud.Snap{}, err
	}
	if s, ok, err := d.keyed(ctx, t.Key); ok || err != nil {
		return s, err
	}
	text, err := newSnapshotXML(t)
	if err != nil {
		return cloud.Snap{}, err
	}
	_, err = call(ctx, d.on, func(c *libvirt.Libvirt) (libvirt.DomainSnapshot, error) {
		return c.DomainSnapshotCreateXML(d.ref, text, 0)
	}, "take a snapshot of the domain %s", d.ref.Name)
	if err != nil {
		if s, ok, again := d.keyed(ctx, t.Key); ok && again == nil {
			return s, nil // another call was faster
		}
		return cloud.Snap{}, err
	}
	s, ok, err := d.keyed(ctx, t.Key)
	if err == nil && !ok {
		err = driver.Errorf(driver.Retryable, "the snapshot of the domain %s was taken and is not shown", d.ref.Name)
	}
	return s, err
}

func (d domain) keyed(ctx context.Context, key string) (cloud.Snap, bool, error) {
	all, err := d.snaps(ctx)
	for _, s := range all {
		if s.Key == key {
			return s, true, err
		}
	}
	return cloud.Snap{}, false, err
}

// Delete removes one snapshot and none of its children.
func (p *provider) Delete(ctx context.Context, s cloud.Snap) error {
	d, err := p.find(ctx, s.Machine)
	if missing(err) {
		return nil // a snapshot is a part of its domain
	}
	if err != nil {
		return err
	}
	if have, ok, err := d.keyed(ctx, s.Key); err != nil || !ok || have.ID != s.ID {
		return err
	}
	err = do(ctx, d.on, func(c *libvirt.Libvirt) error {
		return c.DomainSnapshotDelete(libvirt.DomainSnapshot{Name: s.ID, Dom: d.ref}, 0)
	}, "delete the snapshot %s of the domain %s", s.ID, d.ref.Name)
	if missing(err) {
		return nil
	}
	return err
}

// Restore powers the domain off, reverts it and boots it. Each stage looks
// first at what is there, so that the whole may be repeated.
func (p *provider) Restore(ctx context.Context, m cloud.Machine, snaps []cloud.Snap, _ cloud.Stages) error {
	d, err := p.find(ctx, m.ID)
	if err != nil {
		return err
	}
	if len(snaps) != 1 {
		return driver.Errorf(driver.Permanent, "the handle names %d snapshots of the domain %s, want 1", len(snaps), d.ref.Name)
	}
	if err := d.off(ctx); err != nil {
		return err
	}
	// A snapshot of a running domain comes back with its memory. Paused, none
	// of it runs before it is thrown away.
	err = do(ctx, d.on, func(c *libvirt.Libvirt) error {
		return c.DomainRevertToSnapshot(libvirt.DomainSnapshot{Name: snaps[0].ID, Dom: d.ref}, uint32(libvirt.DomainSnapshotRevertPaused))
	}, "revert the domain %s to the snapshot %s", d.ref.Name, snaps[0].ID)
	if err != nil {
		return err
	}
	if err := d.off(ctx); err != nil {
		return err
	}
	err = do(ctx, d.on, func(c *libvirt.Libvirt) error { return c.DomainCreate(d.ref) }, "start the domain %s", d.ref.Name)
	if err != nil {
		if now, again := d.state(ctx); again == nil && now == cloud.Running {
			return nil // its autostart was faster
		}
	}
	return err
}

// off powers the domain off. Its captured disks are thrown away, and it has no
// other writable ones, so the guest is not asked.
func (d domain) off(ctx context.Context) error {
	now, err := d.state(ctx)
	if err != nil || now == states[libvirt.DomainShutoff] {
		return err
	}
	err = do(ctx, d.on, func(c *libvirt.Libvirt) error { return c.DomainDestroy(d.ref) }, "power off the domain %s", d.ref.Name)
	if err != nil {
		if now, again := d.state(ctx); again == nil && now == states[libvirt.DomainShutoff] {
			return nil
		}
	}
	return err
}
