package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

const (
	handleVersion = 1
	defaultLabel  = "cloud_id"
	defaultPoll   = 5 * time.Second
	defaultWait   = 4 * time.Hour
	defaultKeep   = 1
	shortestPoll  = time.Millisecond
)

// New returns the driver of that definition, not yet configured.
func New(d Definition) driver.Snapshotter {
	if d.Label == "" {
		d.Label = defaultLabel
	}
	return &snapshotter{Definition: d, locks: map[string]*sync.Mutex{}}
}

type snapshotter struct {
	Definition
	provider Provider
	label    string
	price    string
	keep     int // earlier rollouts
	pace     pace

	mu    sync.Mutex
	locks map[string]*sync.Mutex
}

// handleData is what a handle remembers. It holds nothing that a second Create
// of the key could see otherwise.
type handleData struct {
	Machine string   `json:"machine"`
	Units   []string `json:"units"` // sorted
}

// Info implements driver.Driver.
func (s *snapshotter) Info(context.Context) (driver.Info, error) {
	attributes := append(slices.Clone(s.Attributes),
		driver.Attribute{Name: "label", Type: "string", Default: s.Label, Help: "Host label that holds the id or name of the machine; without it the host's own name is looked for."},
		driver.Attribute{Name: "keep", Type: "number", Default: strconv.Itoa(defaultKeep), Help: "How many earlier rollouts' snapshots of a machine to keep, at least 1; older ones are deleted while the next one is prepared."},
		driver.Attribute{Name: "poll", Type: "duration", Default: defaultPoll.String(), Help: "How often the provider is asked whether something is ready."},
		driver.Attribute{Name: "wait", Type: "duration", Default: defaultWait.String(), Help: "Longest wait for one snapshot or one machine."},
		driver.Attribute{Name: "price", Type: "string", Default: s.Price, Help: "What one GiB of snapshot costs in a month; only shown in the plan."},
	)
	return driver.Info{Name: s.Name, Version: s.Version, Kind: driver.KindSnapshot,
		Capabilities: []string{driver.CapabilityMachine, driver.CapabilityPrepare}, Schema: driver.Schema{Attributes: attributes}}, nil
}

// Configure implements driver.Driver.
func (s *snapshotter) Configure(ctx context.Context, c driver.Config) error {
	s.label, s.price, s.pace, s.keep = s.Label, s.Price, pace{defaultPoll, defaultWait}, defaultKeep
	if v, ok := c["keep"].(float64); ok {
		if v < 1 || v > 1000 || v != float64(int(v)) {
			return driver.Errorf(driver.Permanent, "keep = %v: write a whole number from 1 to 1000", v)
		}
		s.keep = int(v)
	}
	if v, ok := c["label"].(string); ok && v != "" {
		s.label = v
	}
	if v, ok := c["price"].(string); ok {
		s.price = v
	}
	for name, d := range map[string]*time.Duration{"poll": &s.pace.poll, "wait": &s.pace.wait} {
		v, ok := c[name].(string)
		if !ok || v == "" {
			continue
		}
		parsed, err := time.ParseDuration(v)
		if err != nil || parsed < shortestPoll {
			return driver.Errorf(driver.Permanent, "%s = %q: write a duration such as \"5s\"", name, v)
		}
		*d = parsed
	}
	p, err := s.Connect(ctx, c)
	if err != nil {
		return err
	}
	if err := s.pace.call(ctx, p.Check); err != nil {
		return err
	}
	s.provider = p
	return nil
}

// lock keeps the calls about one key or machine apart; the returned func ends it.
func (s *snapshotter) lock(name string) func() {
	s.mu.Lock()
	l := s.locks[name]
	if l == nil {
		l = &sync.Mutex{}
		s.locks[name] = l
	}
	s.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// machine finds the subject's machine.
func (s *snapshotter) machine(ctx context.Context, subject driver.Subject) (Machine, error) {
	ref, said := subject.Labels[s.label], "label "+s.label
	if ref == "" {
		ref, said = subject.Host, "its name, as it has no label "+s.label
	}
	m, err := s.find(ctx, ref)
	if missing(err) {
		return m, driver.Errorf(driver.NotFound, "host %s: %s has no machine %q (from %s): set labels = { %s = \"…\" } in the host's block",
			subject.Host, s.Name, ref, said, s.label)
	}
	if err != nil {
		return m, wrap(err, "host %s", subject.Host)
	}
	return m, nil
}

func (s *snapshotter) find(ctx context.Context, ref string) (Machine, error) {
	var m Machine
	err := s.pace.call(ctx, func(ctx context.Context) (err error) {
		m, err = s.provider.Machine(ctx, ref)
		return err
	})
	return m, err
}

// snaps returns what bears the tags, oldest first.
func (s *snapshotter) snaps(ctx context.Context, f Filter) ([]Snap, error) {
	var all []Snap
	err := s.pace.call(ctx, func(ctx context.Context) (err error) {
		all, err = s.provider.Snaps(ctx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(n Snap) bool { return !f.Matches(n) })
	slices.SortFunc(all, func(a, b Snap) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

func (s *snapshotter) handle(key, machine string, units []string) driver.Handle {
	slices.Sort(units)
	data, _ := json.Marshal(handleData{machine, slices.Compact(units)}) // strings alone: it cannot fail
	return driver.Handle{Driver: s.Name, Version: handleVersion, Key: key, Data: data}
}

// open reads a handle.
func (s *snapshotter) open(h driver.Handle) (handleData, error) {
	var d handleData
	if h.Driver != s.Name || h.Version != handleVersion || h.Key == "" {
		return d, driver.Errorf(driver.Permanent, "this is no handle of driver %s: driver %q, version %d, key %q", s.Name, h.Driver, h.Version, h.Key)
	}
	if err := json.Unmarshal(h.Data, &d); err != nil || d.Machine == "" || len(d.Units) == 0 {
		return d, driver.Errorf(driver.Permanent, "the handle of snapshot %s is damaged: %q", h.Key, h.Data)
	}
	return d, nil
}

func asError(err error, target **driver.Error) bool { return errors.As(err, target) }
