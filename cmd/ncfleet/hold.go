package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// holdLimit bounds one host: a package run that is under way is waited for, 15
// minutes for each unit that has one.
const holdLimit = 40 * time.Minute

// holdLease is the word in a host's lease while an operator holds or releases.
const holdLease = "operator"

func holdCommand(a *app) *cobra.Command {
	var reason string
	var list bool
	c := &cobra.Command{Use: "hold [HOST...]", Short: "stop what updates the hosts by itself, until release; --list shows what is held", Args: cobra.ArbitraryArgs,
		Long: "hold stops rival updaters (cron jobs, timers, unattended-upgrades) and remembers each as it was found.\nThey stay stopped over reboots and rollouts, until ncfleet release. The host keeps who did it, when and why.\nOnce more on a held host it also stops what has come since.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return a.eachHeld(cmd.Context(), args, func(context.Context, *remote.Host, *inventory.Host) error { return nil })
			}
			if strings.ContainsAny(reason, "\r\n\t\x00") {
				return &exitCode{exitUsage, "error: the reason must be one line"}
			}
			return a.hold(cmd.Context(), args, reason)
		}}
	c.Flags().StringVar(&reason, "reason", "", "why, for who finds the hosts held")
	c.Flags().BoolVar(&list, "list", false, "only show what is held, by whom and since when")
	return c
}

func releaseCommand(a *app) *cobra.Command {
	var absent bool
	c := &cobra.Command{Use: "release [HOST...]", Short: "put back what hold stopped, as it was found", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := nextcloud.HeldByOperator
			if absent {
				name = nextcloud.HeldAsAbsent
			}
			return a.eachHeld(cmd.Context(), args, func(ctx context.Context, conn *remote.Host, h *inventory.Host) error {
				return a.leased(ctx, conn, nextcloud.ReleaseFor(h.StateDir, name), h.Name)
			})
		}}
	c.Flags().BoolVar(&absent, "absent", false, "put back what rollouts removed for good (auto_update = \"absent\")")
	return c
}

// hold surveys the hosts and stops what it found on each.
func (a *app) hold(ctx context.Context, names []string, reason string) error {
	hosts, err := a.hosts(names)
	if err != nil {
		return err
	}
	w, err := a.open(nil)
	if err != nil {
		return err
	}
	defer w.set.Close()
	names = nil
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	facts, err := w.survey(ctx, names, false)
	if err != nil {
		return err
	}
	return a.eachHeld(ctx, names, func(ctx context.Context, conn *remote.Host, h *inventory.Host) error {
		f := facts[h.Name]
		if f.Unreachable != "" {
			return errors.New(f.Unreachable)
		}
		var active []plan.Rival
		for _, r := range f.Rivals {
			if r.Active && r.Kind == "process" {
				a.tell("%s: a bare process cannot be held: %s %s\n", h.Name, r.Name, r.Line)
			}
			if r.Active {
				active = append(active, r)
			}
		}
		units, files := plan.Holdable(active)
		return a.leased(ctx, conn, nextcloud.HoldFor(h.StateDir, who(), reason, units, files), h.Name)
	})
}

// leased runs a host script under the host's lease, and tells its notes.
func (a *app) leased(ctx context.Context, conn *remote.Host, i nextcloud.Invocation, host string) (err error) {
	text, err := nextcloud.ScriptText(i.Script)
	if err != nil {
		return err
	}
	began := now()
	token := fmt.Sprintf("%s %d %x", holdLease, began.Unix(), began.UnixNano())
	if _, err := conn.Lease(ctx, who(), token); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Release(context.WithoutCancel(ctx), token)) }()
	r, err := conn.Do(ctx, token, driver.Command{Argv: append([]string{"sh", "-s", "--"}, i.Args...), Stdin: []byte(text), User: "root", Timeout: holdLimit})
	if err != nil {
		return err
	}
	said := nextcloud.ParseReport(r.Stdout)
	for _, n := range said.Notes {
		a.tell("%s: %s\n", host, n)
	}
	if r.Exit != 0 {
		return fmt.Errorf("%s ended with status %d: %s", i.Script, r.Exit, strings.Join(append(said.Errors, strings.TrimSpace(string(r.Stderr))), "; "))
	}
	return nil
}

// tell writes a line for people; several hosts at once may.
func (a *app) tell(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.stderr, format, args...)
}

// heldHost is what is held on one host, or why it is not known.
type heldHost struct {
	host string
	list []nextcloud.Holding
	err  error
}

// eachHeld does something on hosts, --parallel at once, and shows what is held
// on each then.
func (a *app) eachHeld(ctx context.Context, names []string, do func(context.Context, *remote.Host, *inventory.Host) error) error {
	hosts, err := a.hosts(names)
	if err != nil {
		return err
	}
	defer a.close()
	pool := a.connect()
	out := make([]heldHost, len(hosts))
	var g errgroup.Group
	g.SetLimit(a.parallel)
	for i, h := range hosts {
		g.Go(func() error {
			ctx, stop := context.WithTimeout(ctx, holdLimit)
			defer stop()
			conn := pool.Host(remoteConfig(h))
			out[i] = heldHost{host: h.Name, err: do(ctx, conn, h)}
			if out[i].err == nil {
				out[i].list, out[i].err = holdings(ctx, conn, h)
			}
			return conn.Disconnect()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := a.showHeld(a.stdout, out); err != nil {
		return err
	}
	for _, h := range out {
		if h.err != nil {
			return &exitCode{exitError, ""}
		}
	}
	return nil
}

func holdings(ctx context.Context, conn *remote.Host, h *inventory.Host) ([]nextcloud.Holding, error) {
	i := nextcloud.Holdings(h.StateDir)
	text, err := nextcloud.ScriptText(i.Script)
	if err != nil {
		return nil, err
	}
	r, err := conn.Run(ctx, driver.Command{Argv: append([]string{"sh", "-s", "--"}, i.Args...), Stdin: []byte(text), User: "root", Timeout: time.Minute})
	if err == nil && r.Exit != 0 {
		err = fmt.Errorf("cannot read what is held: %s", strings.TrimSpace(string(r.Stderr)))
	}
	return nextcloud.ParseHoldings(string(r.Stdout)), err
}

// heldDocument is what is held on hosts.
type heldDocument struct {
	FormatVersion int        `json:"format_version"`
	Hosts         []holdView `json:"hosts"`
}

// holdView is what is held on one host, for programs.
type holdView struct {
	FormatVersion int           `json:"format_version"`
	Host          string        `json:"host"`
	Held          []holdingView `json:"held"`
	Error         string        `json:"error,omitempty"`
}

// holdingView is what is held under one name. By is operator, absent or rollout.
type holdingView struct {
	By     string     `json:"by"`
	Target string     `json:"target,omitempty"` // of a rollout
	What   []string   `json:"what"`
	Who    string     `json:"who,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
}

func viewHeld(h heldHost) holdView {
	v := holdView{FormatVersion: 1, Host: h.host, Held: []holdingView{}}
	if h.err != nil {
		v.Error = h.err.Error()
	}
	for _, k := range h.list {
		view := holdingView{By: "rollout", What: append([]string{}, k.What...), Who: k.Who, Reason: k.Why}
		switch k.Name {
		case nextcloud.HeldByOperator:
			view.By = "operator"
		case nextcloud.HeldAsAbsent:
			view.By = "absent"
		default:
			view.Target = strings.ReplaceAll(k.Name, "+", "/")
		}
		if k.SinceUnix > 0 {
			at := time.Unix(k.SinceUnix, 0).UTC()
			view.Since = &at
		}
		v.Held = append(v.Held, view)
	}
	return v
}

func (a *app) showHeld(out io.Writer, list []heldHost) error {
	if a.json() {
		doc := heldDocument{FormatVersion: 1, Hosts: []holdView{}}
		for _, h := range list {
			doc.Hosts = append(doc.Hosts, viewHeld(h))
		}
		return printList(a, doc, doc.Hosts)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, h := range list {
		v := viewHeld(h)
		if v.Error != "" {
			fmt.Fprintf(w, "%s\tFAILED\t%s\n", h.host, strings.ReplaceAll(v.Error, "\n", "; "))
			continue
		}
		if len(v.Held) == 0 {
			fmt.Fprintf(w, "%s\tnothing is held\n", h.host)
		}
		for _, k := range v.Held {
			what := strings.Join(k.What, ", ")
			if what == "" {
				what = "nothing was there to hold"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", h.host, k.words(), what)
		}
	}
	return w.Flush()
}

// words say who holds and since when.
func (k holdingView) words() string {
	switch k.By {
	case "absent":
		return "removed for good"
	case "rollout":
		return "held by a rollout of " + k.Target
	}
	out := "held by " + k.Who
	if k.Since != nil {
		out += " since " + k.Since.Format("2006-01-02 15:04 MST")
	}
	if k.Reason != "" {
		out += ": " + k.Reason
	}
	return out
}
