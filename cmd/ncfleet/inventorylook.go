package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/inventory/exporter"
)

func listCommand(a *app) *cobra.Command {
	var name string
	c := &cobra.Command{Use: "list [SELECTION]", Short: "hosts with their labels, groups, instances and drivers", Args: cobra.MaximumNArgs(1),
		Long: "list shows the hosts of the inventory; with a selection, those that it takes: an expression as in a rollout's hosts.\n" +
			"It contacts no host.",
		Example: "  ncfleet inventory list 'host.labels.ring == \"canary\"'\n  ncfleet inventory list --rollout nc29 'contains(host.groups, \"fra\")'",
		RunE: func(_ *cobra.Command, args []string) error {
			doc, err := a.listHosts(name, strings.Join(args, ""))
			if err != nil {
				return err
			}
			if a.json() {
				return a.print(doc)
			}
			return doc.Text(a.stdout, a.look(a.stdout))
		}}
	c.Flags().StringVar(&name, "rollout", "", "only the hosts of this rollout, with their waves")
	return c
}

func (a *app) listHosts(rollout, selection string) (report.FleetHosts, error) {
	fleet, err := a.load()
	if err != nil {
		return report.FleetHosts{}, err
	}
	var r *inventory.Rollout
	var names []string
	for _, h := range fleet.Hosts {
		names = append(names, h.Name)
	}
	if rollout != "" {
		if r = fleet.Rollout(rollout); r == nil {
			return report.FleetHosts{}, &exitCode{exitUsage, fmt.Sprintf("error: the inventory has no rollout %q; it has %s", rollout, strings.Join(a.rolloutNames(nil), ", "))}
		}
		names = r.Hosts
	}
	if selection != "" {
		picked, diags := fleet.Select(selection)
		if len(diags) > 0 {
			if err := diags.Render(a.stderr, a.color(a.stderr), a.width(a.stderr)); err != nil {
				return report.FleetHosts{}, err
			}
		}
		if diags.HasErrors() {
			return report.FleetHosts{}, &exitCode{exitUsage, ""}
		}
		names = common(names, picked)
	}
	return report.ListHosts(fleet, names, r, selection), nil
}

// common are the words of a that b holds too, in the order of a.
func common(a, b []string) []string {
	in := make(map[string]bool, len(b))
	for _, word := range b {
		in[word] = true
	}
	var out []string
	for _, word := range a {
		if in[word] {
			out = append(out, word)
		}
	}
	return out
}

func showCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "show HOST", Short: "all that holds for one host, and where each of it was written", Args: cobra.ExactArgs(1),
		Long: "show lists every setting of a host after groups and defaults, with the block, file and line that it comes from,\nand the rollouts and waves that take the host. Secrets are shown as references. It contacts no host.",
		RunE: func(_ *cobra.Command, args []string) error {
			fleet, err := a.load()
			if err != nil {
				return err
			}
			if fleet.Host(args[0]) == nil {
				return &exitCode{exitUsage, fmt.Sprintf("error: the inventory has no host %q; see them all: %s inventory list", args[0], a.self())}
			}
			doc := report.ShowHost(fleet, args[0])
			if a.json() {
				return a.print(doc)
			}
			return doc.Text(a.stdout, a.look(a.stdout))
		}}
}

func graphCommand(a *app) *cobra.Command {
	var dot bool
	c := &cobra.Command{Use: "graph", Short: "groups, rollouts and their waves as a tree, or for Graphviz", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fleet, err := a.load()
			if err != nil {
				return err
			}
			doc := report.Graph(fleet)
			switch {
			case dot:
				return doc.DOT(a.stdout)
			case a.json():
				return a.print(doc)
			}
			return doc.Text(a.stdout, a.look(a.stdout))
		}}
	c.Flags().BoolVar(&dot, "dot", false, "in the language of Graphviz: ncfleet inventory graph --dot | dot -Tsvg")
	return c
}

func exportCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "export", Short: "write the inventory for another tool; prints it"}
	for _, e := range []struct {
		use, short, long string
		write            func(*inventory.Fleet) error
	}{
		{"ansible", "as a dynamic inventory's --list prints it",
			"A program of these two lines is an inventory that Ansible takes:\n\n  #!/bin/sh\n  exec ncfleet -i /path/to/fleet.hcl inventory export ansible\n\n" +
				"Groups keep their names, with _ for what Ansible does not take. Labels are in ncfleet_labels, sites in ncfleet_instances.",
			func(f *inventory.Fleet) error { return exporter.Ansible(a.stdout, f) }},
		{"ssh-config", "for logging in by hand: ssh -F FILE HOST", "",
			func(f *inventory.Fleet) error { return exporter.SSHConfig(a.stdout, f) }},
		{"prometheus", "the sites' addresses as targets for file_sd, for a blackbox exporter", "",
			func(f *inventory.Fleet) error { return exporter.Prometheus(a.stdout, f) }},
		{"json", "all of it, with every expression evaluated; secrets are left out", "",
			func(f *inventory.Fleet) error { return report.Encode(a.stdout, report.Export(f), "  ") }},
	} {
		c.AddCommand(&cobra.Command{Use: e.use, Short: e.short, Long: e.long, Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				fleet, err := a.load()
				if err != nil {
					return err
				}
				return e.write(fleet)
			}})
	}
	return c
}

func inventorySchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "schema", Short: "the JSON schema of *.hcl.json files, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return inventory.WriteSchema(a.stdout) }}
}
