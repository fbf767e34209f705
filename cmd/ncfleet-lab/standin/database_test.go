package standin

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// database is a server of the test's own, on a socket in a folder of its own.
type database struct {
	t     *testing.T
	kind  string
	dir   string
	start func() *exec.Cmd
	sql   func(sql string) *exec.Cmd
	live  *exec.Cmd
}

// asUser is a command of the user whom the database must run as.
func asUser(t *testing.T, name string, argv ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir = "/"
	if os.Getuid() == 0 {
		u, err := user.Lookup(name)
		if err != nil {
			t.Skipf("there is no user %s to run the database as", name)
		}
		c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(t, u)}
	}
	return c
}

func newDatabase(t *testing.T, kind, owner string) *database {
	t.Helper()
	dir, err := os.MkdirTemp("", "nc") // short: the path of a socket has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	d := &database{t: t, kind: kind, dir: dir}
	t.Cleanup(func() {
		d.kill()
		_ = os.RemoveAll(dir)
	})
	if os.Getuid() == 0 {
		if u, err := user.Lookup(owner); err != nil {
			t.Skipf("there is no user %s to run the database as", owner)
		} else if err := os.Chown(dir, int(credential(t, u).Uid), -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

func mariadb(t *testing.T) *database {
	t.Helper()
	needPHP(t, "pdo_mysql")
	for _, tool := range []string{"mariadb-install-db", "mariadbd", "mariadb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	d := newDatabase(t, "mysql", "mysql")
	if out, err := asUser(t, "mysql", "mariadb-install-db", "--no-defaults", "--datadir="+d.dir+"/data", "--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput(); err != nil {
		t.Fatalf("cannot make a MariaDB: %v\n%s", err, out)
	}
	d.start = func() *exec.Cmd {
		return asUser(t, "mysql", "mariadbd", "--no-defaults", "--datadir="+d.dir+"/data", "--socket="+d.dir+"/s", "--skip-networking", "--pid-file="+d.dir+"/pid",
			"--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M")
	}
	d.sql = func(sql string) *exec.Cmd {
		return exec.Command("mariadb", "--no-defaults", "-uroot", "-S", d.dir+"/s", "-e", sql)
	}
	d.run()
	return d
}

func postgres(t *testing.T) *database {
	t.Helper()
	needPHP(t, "pdo_pgsql")
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		t.Skip("PostgreSQL is not installed")
	}
	bin := found[len(found)-1]
	d := newDatabase(t, "pgsql", "postgres")
	if out, err := asUser(t, "postgres", bin+"/initdb", "-D", d.dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N").CombinedOutput(); err != nil {
		t.Fatalf("cannot make a PostgreSQL: %v\n%s", err, out)
	}
	d.start = func() *exec.Cmd {
		return asUser(t, "postgres", bin+"/postgres", "-D", d.dir+"/data", "-k", d.dir, "-c", "listen_addresses=", "-c", "fsync=off")
	}
	d.sql = func(sql string) *exec.Cmd {
		return exec.Command("psql", "-X", "-h", d.dir, "-U", "postgres", "-c", sql)
	}
	d.run()
	return d
}

// run starts the server and waits for it.
func (d *database) run() {
	d.t.Helper()
	d.live = d.start()
	if err := d.live.Start(); err != nil {
		d.t.Fatal(err)
	}
	for end := time.Now().Add(90 * time.Second); d.sql("SELECT 1").Run() != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("the database %s does not answer", d.kind)
		}
	}
}

// kill ends the server as a crash does. PostgreSQL's own processes must be gone
// before it may start again, so it is asked to drop everything at once.
func (d *database) kill() {
	if d.live == nil {
		return
	}
	signal := syscall.SIGKILL
	if d.kind == "pgsql" {
		signal = syscall.SIGQUIT
	}
	_ = d.live.Process.Signal(signal)
	_ = d.live.Wait()
	d.live = nil
}

// site installs a stand-in into a database of that name.
func (d *database) site(t *testing.T, name string) *site {
	t.Helper()
	if out, err := d.sql("CREATE DATABASE " + name).CombinedOutput(); err != nil {
		t.Fatalf("cannot make database %s: %v\n%s", name, err, out)
	}
	host, root := "localhost:"+d.dir+"/s", "root"
	if d.kind == "pgsql" {
		host, root = d.dir, "postgres"
	}
	return installed(t, "28.0.2", "--database", d.kind, "--database-host", host, "--database-name", name, "--database-user", root, "--database-pass", "")
}

// TestDatabases upgrades on the real databases: undisturbed, killed at three
// places, and with the database killed in core and in an app.
func TestDatabases(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *database{"mariadb": mariadb, "postgresql": postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t)
			clean := d.site(t, "clean")
			w := clean.serve()
			w.code(201, "PUT", files+"a.txt", "one")
			w.code(204, "PUT", files+"a.txt", "two")
			w.code(204, "DELETE", files+"a.txt", "")
			clean.swap("29.0.1")
			clean.must("upgrade")
			clean.upgraded("29.0.1.1")
			w.code(201, "PUT", files+"b.txt", "three")
			w.code(204, "DELETE", files+"b.txt", "")
			want := clean.dump()
			for i, line := range []int{3, 9, 40} {
				s := d.site(t, fmt.Sprintf("killed%d", i))
				s.serve().code(207, "PROPFIND", files, "")
				s.set("standin_upgrade_seconds", "0.5")
				s.swap("29.0.1")
				a, _ := s.upgradeUntil(line, func(c *exec.Cmd) { _ = c.Process.Kill() })
				s.afterKill(a)
				s.again(t, want)
			}
			d.crashes(t, "crash1", "Updating database schema", "An exception occurred while executing a query: SQLSTATE", want)
			d.crashes(t, "crash2", "Updating <", "ConnectionLost: An exception occurred while executing a query: SQLSTATE", want)
			clean.swap("30.0.4")
			clean.must("upgrade")
			clean.want(0, []string{"oc_npushhash_di"}, "db:add-missing-indices")
			clean.upgraded("30.0.4.1")
		})
	}
}

// again runs the upgrade to its end and compares the database.
func (s *site) again(t *testing.T, want string) {
	t.Helper()
	if a := s.occ("upgrade"); a.exit != 0 && a.exit != 2 {
		t.Fatalf("the next run: %+v", a)
	}
	s.must("maintenance:mode", "--off")
	s.upgraded("29.0.1.1")
	if got := s.dump(); got != want {
		t.Errorf("the database differs from an undisturbed run's:\n%s\nwant\n%s", got, want)
	}
}

// crashes kills the server once the upgrade printed a line that begins so.
func (d *database) crashes(t *testing.T, name, line, says, want string) {
	t.Helper()
	s := d.site(t, name)
	w := s.serve()
	w.code(207, "PROPFIND", files, "")
	s.set("standin_upgrade_seconds", "4")
	s.swap("29.0.1")
	n := 3
	if line != "Updating database schema" {
		n = 6
	}
	var once sync.Once
	a, came := s.upgradeUntil(n, func(*exec.Cmd) { once.Do(d.kill) })
	if !came || a.exit != 5 || !strings.Contains(a.stdout, line) || !strings.Contains(a.stdout, says) || !strings.Contains(a.stdout, "Update failed") {
		t.Errorf("database killed after %q: exit %d, want 5 and %q:\n%s", line, a.exit, says, a.stdout)
	}
	s.want(1, []string{"An unhandled exception has been thrown:\nDoctrine\\DBAL\\Exception: Failed to connect to the database"}, "status")
	s.want(1, []string{"Failed to connect"}, "maintenance:mode", "--off")
	w.code(500, "GET", "/status.php", "")
	w.code(500, "GET", "/index.php/login", "")
	if text := readText(t, s.tree+"/config/config.php"); !strings.Contains(text, "'maintenance' => true") || !strings.Contains(text, "'version' => '28.0.2.5'") {
		t.Errorf("config.php after the database was killed:\n%s", text)
	}
	d.run()
	s.set("standin_upgrade_seconds", "0")
	s.again(t, want)
}
