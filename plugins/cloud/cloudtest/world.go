// Package cloudtest tries drivers of clouds: a stateful world that fake
// providers answer from, a proxy that spoils any provider's answers, real or
// fake, and a suite of faults.
//
// It is for tests only. The world knows machines, volumes with contents,
// snapshots and slow actions; it refuses to know any provider's JSON, which
// each driver's own test writes.
package cloudtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// World is the state of a fake cloud. Its clock is virtual: every request of
// the provider's API ticks it once, and slow actions end after so many ticks.
// All methods may be called at the same time; fields are read and written
// under Do.
type World struct {
	mu       sync.Mutex
	tick     int
	next     int
	Machines map[string]*Machine
	Volumes  map[string]*Volume
	Snaps    map[string]*Snapshot
	Actions  map[string]*Action

	Slow int // ticks that an action takes; 3 by default
	hide int // ticks for which what is new stays out of lists
}

// Machine is a virtual machine with a local disk, or with volumes alone.
type Machine struct {
	ID, Name  string
	State     string // "running" or "stopped"
	Boots     int    // boots so far; a boot id in disguise
	Disk      string // contents of the local disk
	GiB       int64
	Addresses []string
	Attached  map[string]string // device to volume id
	Tags      map[string]string
	Locked    string // id of the action that works on it
}

// Volume is a disk of its own.
type Volume struct {
	ID, Name string
	Contents string
	GiB      int64
	Machine  string // that it is attached to
	Device   string
	Tags     map[string]string
	Note     string // the provider's description field
	Locked   string
	born     int
}

// Snapshot holds contents of a disk or a volume as they were.
type Snapshot struct {
	ID, Name string
	Of       string // machine or volume id
	Contents string
	GiB      int64
	State    string // "pending", "ready" or "failed"
	Tags     map[string]string
	Note     string
	Created  time.Time
	born     int
}

// Action is something slow.
type Action struct {
	ID, Kind string
	On       string // what it works on
	State    string // "running", "done" or "failed"
	Error    string
	end      int
	effect   func() error
}

// NewWorld returns an empty one.
func NewWorld() *World {
	return &World{Machines: map[string]*Machine{}, Volumes: map[string]*Volume{}, Snaps: map[string]*Snapshot{}, Actions: map[string]*Action{}, Slow: 3, next: 1000}
}

// Do runs f alone, after the clock has ticked and ended what is due. A fake
// provider calls it once for each request.
func (w *World) Do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick++
	for _, id := range slices.Sorted(maps.Keys(w.Actions)) {
		a := w.Actions[id]
		if a.State != "running" || a.end > w.tick {
			continue
		}
		a.State = "done"
		if err := a.effect(); err != nil {
			a.State, a.Error = "failed", err.Error()
		}
	}
	f()
}

// Look runs f alone, without a tick: for the test itself.
func (w *World) Look(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// ID returns a new number, the same in every run. Call it under Do.
func (w *World) ID() string {
	w.next++
	return fmt.Sprint(w.next)
}

// Now is the time for creation dates: it differs at every tick by a second.
// Call it under Do.
func (w *World) Now() time.Time { return time.Unix(1_780_000_000+int64(w.tick), 0).UTC() }

// Begin starts an action whose effect comes at its end. Call it under Do.
func (w *World) Begin(kind, on string, effect func() error) *Action {
	a := &Action{ID: w.ID(), Kind: kind, On: on, State: "running", end: w.tick + w.Slow, effect: effect}
	w.Actions[a.ID] = a
	return a
}

// Hide keeps volumes and snapshots that are made from now on out of Seen for
// that many ticks, as a cloud that is consistent at some time only.
func (w *World) Hide(ticks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hide = ticks
}

// AddMachine puts a running machine into the world.
func (w *World) AddMachine(m Machine) *Machine {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.State, m.Boots = "running", 1
	if m.Attached == nil {
		m.Attached = map[string]string{}
	}
	w.Machines[m.ID] = &m
	return &m
}

// AddVolume puts a volume into the world, attached if it names a machine.
func (w *World) AddVolume(v Volume) *Volume {
	w.mu.Lock()
	defer w.mu.Unlock()
	v.born = -1 << 30
	if v.Tags == nil {
		v.Tags = map[string]string{}
	}
	w.Volumes[v.ID] = &v
	if m := w.Machines[v.Machine]; m != nil {
		m.Attached[v.Device] = v.ID
	}
	return &v
}

// NewVolume makes a volume, with the contents of a snapshot if there is one.
// Call it under Do.
func (w *World) NewVolume(v Volume, from *Snapshot) *Volume {
	v.ID, v.born = cmp.Or(v.ID, w.ID()), w.tick
	if from != nil {
		v.Contents, v.GiB = from.Contents, max(v.GiB, from.GiB)
	}
	if v.Tags == nil {
		v.Tags = map[string]string{}
	}
	w.Volumes[v.ID] = &v
	return &v
}

// NewSnapshot takes contents as they are now; the snapshot is ready after Slow
// ticks. Call it under Do.
func (w *World) NewSnapshot(s Snapshot) (*Snapshot, *Action) {
	s.ID, s.born, s.Created, s.State = cmp.Or(s.ID, w.ID()), w.tick, w.Now(), "pending"
	if s.Tags == nil {
		s.Tags = map[string]string{}
	}
	w.Snaps[s.ID] = &s
	return &s, w.Begin("snapshot", s.ID, func() error {
		if s.State == "pending" {
			s.State = "ready"
		}
		return nil
	})
}

// Seen reports whether lists show what was born then.
func (w *World) seen(born int) bool { return w.hide == 0 || w.tick-born > w.hide }

// ListVolumes returns what a list shows, by id. Call it under Do.
func (w *World) ListVolumes() []*Volume {
	var out []*Volume
	for _, id := range slices.Sorted(maps.Keys(w.Volumes)) {
		if w.seen(w.Volumes[id].born) {
			out = append(out, w.Volumes[id])
		}
	}
	return out
}

// ListSnaps returns what a list shows, by id. Call it under Do.
func (w *World) ListSnaps() []*Snapshot {
	var out []*Snapshot
	for _, id := range slices.Sorted(maps.Keys(w.Snaps)) {
		if w.seen(w.Snaps[id].born) {
			out = append(out, w.Snaps[id])
		}
	}
	return out
}

// Stop and Start change a machine's state. Call them under Do.
func (m *Machine) Stop() { m.State = "stopped" }

// Start boots a stopped machine; one that runs goes on.
func (m *Machine) Start() {
	if m.State != "running" {
		m.State = "running"
		m.Boots++
	}
}

// Attach puts a volume into a machine. Call it under Do.
func (w *World) Attach(v *Volume, m *Machine, device string) error {
	if v.Machine != "" {
		return fmt.Errorf("volume %s is attached to %s", v.ID, v.Machine)
	}
	if other := m.Attached[device]; other != "" {
		return fmt.Errorf("device %s is volume %s", device, other)
	}
	v.Machine, v.Device = m.ID, device
	m.Attached[device] = v.ID
	return nil
}

// Detach takes a volume out. Call it under Do.
func (w *World) Detach(v *Volume) {
	if m := w.Machines[v.Machine]; m != nil {
		delete(m.Attached, v.Device)
	}
	v.Machine, v.Device = "", ""
}

// State describes what a machine's host would read: its disks' contents by
// device.
func (w *World) State(machine string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.Machines[machine]
	if m == nil {
		return "gone"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %v\ndisk %q\n", m.State, m.Addresses, m.Disk)
	for _, device := range slices.Sorted(maps.Keys(m.Attached)) {
		fmt.Fprintf(&b, "%s %q\n", device, w.Volumes[m.Attached[device]].Contents)
	}
	return b.String()
}

// Change writes to every disk of a machine.
func (w *World) Change(machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.Machines[machine]
	w.next++
	m.Disk += fmt.Sprintf(" changed-%d", w.next)
	for _, id := range m.Attached {
		w.Volumes[id].Contents += fmt.Sprintf(" changed-%d", w.next)
	}
}
