package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/standin"
)

// Choices of Up.
var (
	Distros   = []string{debian, "rocky-like", "suse-like"}
	Databases = []string{"sqlite", "mariadb", "postgres"}
	Disks     = []string{"loop", "tmpfs", "btrfs"}
)

// hostLimit is how long a host may take from power on to a working site.
const hostLimit = 3 * time.Minute

// UpOptions say what is brought up.
type UpOptions struct {
	Hosts     int
	Distros   []string // dealt round robin; empty = debian
	DBs       []string // dealt round robin; empty = all kinds
	Releases  string   // a folder of official releases; "" = the stand-in's
	Nextcloud string   // the version to install; "" = the oldest there is
	Disks     []string // dealt round robin; empty = loop
}

func (o *UpOptions) check() error {
	if o.Hosts < 1 || o.Hosts > MaxHosts {
		return fmt.Errorf("%d hosts: from 1 to %d", o.Hosts, MaxHosts)
	}
	if len(o.Distros) == 0 {
		o.Distros = Distros[:1]
	}
	if len(o.DBs) == 0 {
		o.DBs = Databases
	}
	if len(o.Disks) == 0 {
		o.Disks = Disks[:1]
	}
	for _, c := range []struct {
		what        string
		given, have []string
	}{{"distro", o.Distros, Distros}, {"db", o.DBs, Databases}, {"disk", o.Disks, Disks}} {
		if err := known(c.what, c.given, c.have); err != nil {
			return err
		}
	}
	return nil
}

// known fails unless each value of a flag is one of its choices.
func known(flag string, given, have []string) error {
	for _, g := range given {
		if !slices.Contains(have, g) {
			return fmt.Errorf("--%s %s is not known; there is %s", flag, g, strings.Join(have, ", "))
		}
	}
	return nil
}

// Up brings a lab up. When it fails, what it had begun is removed again.
func (l *Lab) Up(ctx context.Context, o UpOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := Ready(); err != nil {
		return err
	}
	if slices.Contains(o.Disks, "btrfs") {
		if err := missing(btrfsTools); err != nil {
			return err
		}
	}
	if _, err := os.Stat(l.run("lab.json")); err == nil {
		return fmt.Errorf("there is a lab in %s already, up or half removed; look at it with: ncfleet-lab status%s, or remove it with: ncfleet-lab down%s",
			l.dir, l.flags(), l.flags())
	}
	root, layers, err := l.build(ctx, o.Distros)
	if err != nil {
		return err
	}
	st := &state{Root: root, Packages: root + ".apt", Layers: layers, Database: password(), Hosts: deal(o)}
	if err := l.up(ctx, o, st); err != nil {
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return errors.Join(err, l.Down(cleaning, false))
	}
	return nil
}

func (l *Lab) up(ctx context.Context, o UpOptions, st *state) error {
	begun := time.Now()
	st.Began = begun.UTC().Round(0)
	for _, d := range []string{"run", "hosts"} {
		if err := os.MkdirAll(filepath.Join(l.dir, d), 0o700); err != nil {
			return fmt.Errorf("cannot make the lab's folder: %w", err)
		}
	}
	if err := os.Chmod(l.dir, 0o700); err != nil {
		return err
	}
	if err := l.save(st); err != nil { // before anything else is there: Down starts from it
		return err
	}
	if err := l.software(ctx, o, st); err != nil {
		return err
	}
	if err := raiseInotify(); err != nil {
		return err
	}
	if err := l.keys(ctx, st); err != nil {
		return err
	}
	if err := l.save(st); err != nil {
		return err
	}
	if err := l.WriteInventory(); err != nil {
		return err
	}
	l.say("starting %d hosts …", len(st.Hosts))
	if err := l.startHolder(ctx); err != nil {
		return err
	}
	if err := l.awaitHosts(ctx); err != nil {
		return err
	}
	l.say("up in %s", seconds(begun))
	return nil
}

// deal gives each host its name, address, distribution, database and disk.
func deal(o UpOptions) []hostState {
	var hosts []hostState
	for i := range o.Hosts {
		hosts = append(hosts, hostState{
			Name: fmt.Sprintf("lab-%02d", i+1), Address: fmt.Sprintf("10.77.0.%d", 101+i),
			Distro: o.Distros[i%len(o.Distros)], DB: o.DBs[i%len(o.DBs)], Disk: o.Disks[i%len(o.Disks)],
		})
	}
	return hosts
}

// software finds or makes the releases and the installed templates.
func (l *Lab) software(ctx context.Context, o UpOptions, st *state) error {
	st.Releases, st.Official = o.Releases, o.Releases != ""
	if !st.Official {
		st.Releases = filepath.Join(l.dir, "releases")
		if err := os.MkdirAll(st.Releases, 0o755); err != nil {
			return err
		}
		if err := standin.WriteReleases(st.Releases); err != nil {
			return fmt.Errorf("cannot write the stand-in's releases: %w", err)
		}
		if _, err := os.Stat(filepath.Join(st.Releases, "store", "apps.json")); err == nil {
			st.Store = filepath.Join(st.Releases, "store")
		}
	}
	abs, err := filepath.Abs(st.Releases)
	if err != nil {
		return err
	}
	st.Releases = abs
	if st.Official && strings.HasPrefix(abs+"/", l.dir+"/") {
		return fmt.Errorf("--releases %s lies in the lab's own folder, which down removes; put the releases elsewhere", abs)
	}
	list, err := releasesIn(st.Releases)
	if err != nil {
		return err
	}
	chosen, goal, err := chooseRelease(list, o.Nextcloud)
	if err != nil {
		return err
	}
	st.Nextcloud, st.Goal = chosen.version, goal
	app, err := chooseApp(st.Store, chosen.major)
	if err != nil {
		return err
	}
	var dbs []string
	for _, h := range st.Hosts {
		if !slices.Contains(dbs, h.DB) {
			dbs = append(dbs, h.DB)
		}
	}
	s, err := l.templates(ctx, st, chosen.file, app, dbs)
	if err != nil {
		return err
	}
	return writeFile(l.PasswordFile(), []byte(s.Ada+"\n"), 0o600)
}

// keys makes the login key and the hosts' own keys.
func (l *Lab) keys(ctx context.Context, st *state) error {
	if _, err := tool(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ncfleet-lab", "-f", l.KeyFile()); err != nil {
		return fmt.Errorf("cannot make the lab's key: %w", err)
	}
	var known strings.Builder
	for _, h := range st.Hosts {
		if err := os.MkdirAll(l.hostFile(h.Name, ""), 0o700); err != nil {
			return err
		}
		key := l.hostFile(h.Name, "ssh_host_ed25519_key")
		if _, err := tool(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@"+h.Name, "-f", key); err != nil {
			return fmt.Errorf("cannot make the key of %s: %w", h.Name, err)
		}
		public, err := os.ReadFile(key + ".pub")
		if err != nil {
			return err
		}
		known.WriteString(h.Address + " " + string(public))
	}
	return writeFile(l.KnownHosts(), []byte(known.String()), 0o600)
}

// awaitHosts waits until every host works as a user would see it.
func (l *Lab) awaitHosts(ctx context.Context) error {
	hosts, err := l.Hosts()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, h := range hosts {
		g.Go(func() error {
			if err := h.await(ctx); err != nil {
				return fmt.Errorf("%s did not come up: %w", h.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (h *Host) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hostLimit)
	defer cancel()
	if err := h.AwaitSSH(ctx); err != nil {
		return err
	}
	if err := h.ownPassword(ctx); err != nil {
		return err
	}
	var site Site
	err := poll(ctx, hostLimit, "its Nextcloud over HTTP", func() bool {
		var err error
		site, err = h.Site(ctx)
		return err == nil && site.Installed
	})
	if err != nil {
		return err
	}
	units, err := h.Output(ctx, "systemctl", "--failed", "--plain", "--no-legend")
	if err != nil {
		return err
	}
	if failed := strings.TrimSpace(units); failed != "" {
		return fmt.Errorf("units failed: %s", failed)
	}
	return nil
}

// AwaitSSH waits until the host is on and its sshd answers the holder.
func (h *Host) AwaitSSH(ctx context.Context) error {
	return poll(ctx, hostLimit, "sshd of "+h.Name, func() bool {
		p, err := h.power()
		return err == nil && p.State == powerOn
	})
}

// ownPassword replaces the template's database password by this lab's.
func (h *Host) ownPassword(ctx context.Context) error {
	var line []string
	sql := "ALTER ROLE nextcloud PASSWORD '" + h.st.Database + "';\n"
	switch h.DB {
	case "sqlite":
		return nil
	case "mariadb":
		line = []string{"mariadb"}
		sql = "ALTER USER nextcloud@localhost IDENTIFIED BY '" + h.st.Database + "';\n"
	case "postgres":
		line = []string{"runuser", "-u", "postgres", "--", "psql", "-q"}
	default:
		return fmt.Errorf("%s is no database of the lab", h.DB)
	}
	var last error
	err := poll(ctx, hostLimit, "the database of "+h.Name, func() bool {
		_, last = h.feed(ctx, sql, line...)
		return last == nil
	})
	return errors.Join(err, last)
}
