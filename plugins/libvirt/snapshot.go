package libvirt

import (
	"context"
	"encoding/xml"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// wholeUnit is the unit that stands for the domain with all its disks.
const wholeUnit = "machine"

// snapshotXML is what the driver writes and reads of a snapshot. The tags stand
// in its description.
type snapshotXML struct {
	XMLName     xml.Name `xml:"domainsnapshot"`
	Name        string   `xml:"name"`
	Description string   `xml:"description"`
	Created     int64    `xml:"creationTime,omitempty"`
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
		if err := xml.NewDecoder(strings.NewReader(text)).Decode(&x); err != nil {
			return nil, driver.Errorf(driver.Permanent, "cannot read the description of the snapshot %s of the domain %s: %v", ref.Name, d.ref.Name, err)
		}
		if t, ours := cloud.ReadText(x.Description); ours {
			found = append(found, cloud.Snap{ID: ref.Name, Unit: wholeUnit, Key: t.Key, Machine: d.id(), Host: t.Host,
				State: cloud.Ready, Created: time.Unix(x.Created, 0)})
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	busy, err := d.busy(ctx)
	for i := range found {
		if busy {
			found[i].State = cloud.Pending
		}
	}
	return found, err
}

// busy reports whether an operation is at work on the domain. One that does not
// run has none, and neither has one of a hypervisor that knows no operations.
func (d domain) busy(ctx context.Context) (bool, error) {
	kind, err := call(ctx, d.on, func(c *libvirt.Libvirt) (int32, error) {
		kind, _, _, _, _, _, _, _, _, _, _, _, err := c.DomainGetJobInfo(d.ref)
		if code := codeOf(err); code == libvirt.ErrNoSupport || code == libvirt.ErrOperationInvalid {
			return int32(libvirt.DomainJobNone), nil
		}
		return kind, err
	}, "ask what the domain %s does", d.ref.Name)
	switch libvirt.DomainJobType(kind) {
	case libvirt.DomainJobNone, libvirt.DomainJobCompleted, libvirt.DomainJobFailed, libvirt.DomainJobCancelled:
		return false, err
	}
	return true, err
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
	text, err := xml.Marshal(snapshotXML{Name: t.Name(), Description: t.Text()})
	if err != nil {
		return cloud.Snap{}, err
	}
	_, err = call(ctx, d.on, func(c *libvirt.Libvirt) (libvirt.DomainSnapshot, error) {
		return c.DomainSnapshotCreateXML(d.ref, string(text), 0)
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
