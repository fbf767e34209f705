package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
)

func buildCommand(a *app) *cobra.Command {
	var distros []string
	c := &cobra.Command{
		Use:   "build",
		Short: "make the file system that all hosts share; up does so by itself when it is missing",
		Long: `build makes a Debian 12 with everything that a host needs, from this machine's own package sources
(and apt proxy), into the cache, and a layer for each of the other distributions: their real package
tool (dnf 4, zypper) on that Debian, a repository of theirs, and nothing of apt and dpkg. It takes about
three minutes and is done again only when its recipe changes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			return l.Build(cmd.Context(), distros...)
		},
	}
	c.Flags().StringSliceVar(&distros, "distro", lab.Distros, "distributions to have layers for")
	return c
}

func upCommand(a *app) *cobra.Command {
	var o lab.UpOptions
	c := &cobra.Command{
		Use:   "up N",
		Short: "bring up N hosts, lab-01 …, and write their inventory",
		Long: `up brings up N hosts. Databases (and distributions) are dealt to them in turn. Each host has Nextcloud
installed by its own installer, and waiting for it: package updates (one of them for security, one
with a conffile question, one that asks for a reboot), a held and a kept-back package, a product's
next major, and the next major of Nextcloud.

A rocky-like host has the real dnf 4 and rpm, a suse-like one the real zypper, each with its own RPM
repository and nothing of apt; the rest of them is the Debian of all hosts.

Without --releases, Nextcloud is a small stand-in that behaves like it where a rollout looks. With
--releases DIR it is the real one: DIR holds nextcloud-28.0.2.tar.bz2 (or .zip), at least one more, and
a .sha512 beside each, as on Nextcloud's download site.

It changes one setting of this machine, fs.inotify.max_user_instances, and down puts it back.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return &exitCode{exitUsage, fmt.Sprintf("error: %q is no number of hosts; such as: ncfleet-lab up 3", args[0])}
			}
			o.Hosts = n
			return a.up(cmd, o)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Distros, "distro", lab.Distros[:1], "distributions, dealt in turn: "+strings.Join(lab.Distros, ", "))
	f.StringSliceVar(&o.DBs, "db", lab.Databases, "databases, dealt in turn")
	f.StringVar(&o.Releases, "releases", "", "folder of official releases (default: the stand-in's own)")
	f.StringVar(&o.Nextcloud, "nextcloud", "", "version to install (default: the oldest there is)")
	f.StringSliceVar(&o.Disks, "disk", lab.Disks[:1], "data disks, dealt in turn: loop (an ext4 image), tmpfs, btrfs (an image; Nextcloud and the databases in subvolumes)")
	return c
}

func (a *app) up(cmd *cobra.Command, o lab.UpOptions) error {
	begun := time.Now()
	l, err := a.lab()
	if err != nil {
		return err
	}
	if err := l.Up(cmd.Context(), o); err != nil {
		return err
	}
	f := a.flags()
	fmt.Fprintf(a.stdout, `%d hosts are up after %.0f s.

inventory   %s
login       ssh -i %s -o UserKnownHostsFile=%s ops@10.77.0.101   (after: ncfleet-lab%s run)
Nextcloud   user ada, password in %s

Try next:
  ncfleet-lab%s status
  ncfleet-lab%s run ncfleet -i %s plan
  ncfleet-lab%s run ncfleet -i %s apply --rollout monthly
  ncfleet-lab%s down
`, o.Hosts, time.Since(begun).Seconds(), l.Inventory(), l.KeyFile(), l.KnownHosts(), f, l.PasswordFile(),
		f, f, l.Inventory(), f, l.Inventory(), f)
	return nil
}

func downCommand(a *app) *cobra.Command {
	var purge bool
	c := &cobra.Command{
		Use:   "down",
		Short: "remove the lab: processes, mounts, namespaces, disks and files",
		Long: `down removes the lab and puts back the setting that up changed. It works also after a crash or half an
up, and twice. The inventory and the journals beside it go too; what was built once stays in the cache, unless --purge is given.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begun := time.Now()
			l, err := a.lab()
			if err != nil {
				return err
			}
			if err := l.Down(cmd.Context(), purge); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "no lab is in %s any more (%.1f s)\n", l.Dir(), time.Since(begun).Seconds())
			return nil
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "remove the build cache too")
	return c
}

func statusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "the hosts: state, address, Nextcloud over HTTP, memory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			if err := lab.Ready(); err != nil {
				return err
			}
			list, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			return a.showStatus(list)
		},
	}
}

func (a *app) showStatus(list []lab.Status) error {
	if a.output == "json" {
		e := json.NewEncoder(a.stdout)
		for _, s := range list {
			if err := e.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tSTATE\tADDRESS\tDISTRO\tDB\tNEXTCLOUD\tMEMORY\tBOOTS\tFAULTS")
	for _, s := range list {
		site := s.Nextcloud
		if site == "" {
			site = "no answer"
		}
		if s.Closed {
			site += " (closed)"
		}
		memory := "?"
		if s.Memory >= 0 {
			memory = fmt.Sprintf("%d MiB", s.Memory>>20)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", s.Name, s.State, s.Address, s.Distro, s.DB, site, memory, s.Boots, strings.Join(s.Faults, ", "))
	}
	return w.Flush()
}

func inventoryCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inventory",
		Short: "write the inventory anew and print its path",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			if err := l.WriteInventory(); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, l.Inventory())
			return nil
		},
	}
}

// serveCommand is how up starts the process that keeps the lab.
func serveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "serve",
		Short:  "keep the lab; started by up",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			return l.Serve(cmd.Context())
		},
	}
}
