package archive

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

// password has every character that a careless file format trips over.
const password = `p"a's\s#w;o:r d$%&` + "`x"

// quoted is the password between single quotes, for SQL and PHP.
const quoted = `p"a\'s\\s#w;o:r d$%&` + "`x"

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// as prepares a command that runs as another user when the tester is root.
func as(t *testing.T, name string, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	if os.Getuid() == 0 {
		u, err := user.Lookup(name)
		if err != nil {
			t.Skipf("there is no user %s to run the database as", name)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return cmd
}

// dbRoot is a directory that the database's user may write to.
func dbRoot(t *testing.T, owner string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ncdb") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	hostcopytest.Open(t, dir)
	if os.Getuid() == 0 {
		hostcopytest.Output(t, exec.Command("chown", owner, dir))
	}
	return dir
}

// mariadb starts a database of the test's own and returns its socket and port.
func mariadb(t *testing.T) (string, int) {
	t.Helper()
	install := hostcopytest.LookOrSkip(t, "mariadb-install-db", "mysql_install_db")
	daemon := hostcopytest.LookOrSkip(t, "mariadbd", "mysqld")
	hostcopytest.LookOrSkip(t, "mariadb-dump", "mysqldump")
	dir, port := dbRoot(t, "mysql"), freePort(t)
	socket := filepath.Join(dir, "s")
	hostcopytest.Output(t, as(t, "mysql", install, "--no-defaults", "--datadir="+dir+"/data", "--auth-root-authentication-method=normal", "--skip-test-db"))
	cmd := as(t, "mysql", daemon, "--no-defaults", "--datadir="+dir+"/data", "--socket="+socket, "--port="+strconv.Itoa(port),
		"--bind-address=127.0.0.1", "--pid-file="+dir+"/pid", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M", "--plugin-load-add=auth_socket")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if exec.Command("mariadb", "--no-defaults", "-uroot", "-S", socket, "-e", "SELECT 1").Run() == nil {
			return socket, port
		}
		if time.Now().After(deadline) {
			t.Fatal("MariaDB does not answer")
		}
	}
}

// mariaSite is a site with its database in a MariaDB of its own.
type mariaSite struct {
	*hostcopytest.Site
	socket string
	port   int
}

func newMariaSite(t *testing.T) *mariaSite {
	t.Helper()
	socket, port := mariadb(t)
	s := &mariaSite{newSite(t, false), socket, port}
	s.Subject.DatabaseKind = "mysql"
	s.root("mysql", `CREATE DATABASE nc CHARACTER SET utf8mb4; CREATE DATABASE other;
CREATE USER 'nc'@'%' IDENTIFIED BY '`+quoted+`'; CREATE USER 'nc'@'localhost' IDENTIFIED BY '`+quoted+`';
GRANT ALL ON nc.* TO 'nc'@'%'; GRANT ALL ON nc.* TO 'nc'@'localhost';
CREATE USER '`+s.Subject.WebUser+`'@'localhost' IDENTIFIED VIA unix_socket; GRANT ALL ON nc.* TO '`+s.Subject.WebUser+`'@'localhost'`)
	// A file of root's own must not get in the way.
	home := t.TempDir()
	s.Must(os.WriteFile(filepath.Join(home, ".my.cnf"), []byte("[client]\nuser=wrong\npassword=wrong\nhost=192.0.2.1\n"), 0o600))
	s.Runner.Env = []string{"HOME=" + home}
	return s
}

// root runs statements as the database's administrator.
func (s *mariaSite) root(db, sql string) string {
	s.T.Helper()
	return hostcopytest.Output(s.T, exec.Command("mariadb", "--no-defaults", "-uroot", "-S", s.socket, "-BN", "--default-character-set=utf8mb4", "-e", sql, db))
}

// login writes a config.php that reaches the database as the settings say.
func (s *mariaSite) login(settings string, args ...any) {
	s.T.Helper()
	s.Config("'dbtype' => 'mysql', 'dbname' => 'nc', 'dbtableprefix' => 'oc_', 'datadirectory' => '" + s.Data + "', " + fmt.Sprintf(settings, args...))
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	s := newMariaSite(t)
	in := func(name string, f func()) {
		t.Run(name, func(t *testing.T) {
			s.T = t
			f()
		})
		s.T = t
	}
	const user = ", 'dbuser' => 'nc', 'dbpassword' => '%s'"
	for name, login := range map[string]func(){
		"host and port": func() { s.login("'dbhost' => '127.0.0.1:%d'"+user, s.port, quoted) },
		"port apart":    func() { s.login("'dbhost' => '127.0.0.1', 'dbport' => %d"+user, s.port, quoted) },
		"socket":        func() { s.login("'dbhost' => 'localhost:%s'"+user, s.socket, quoted) },
		"bare socket":   func() { s.login("'dbhost' => '%s'"+user, s.socket, quoted) },
		"socket login": func() {
			s.login("'dbhost' => 'localhost:%s', 'dbuser' => '%s', 'dbpassword' => ''", s.socket, s.Subject.WebUser)
		},
	} {
		in(name, func() {
			login()
			s.wayBack("r/" + strings.ReplaceAll(name, " ", "-"))
		})
	}
	in("password unseen", func() {
		s.login("'dbhost' => '127.0.0.1:%d'"+user, s.port, quoted)
		s.passwordUnseen()
	})
	in("alone in its database, gzip", s.aloneInItsDatabase)
	in("database down", s.databaseDown)
}

func (s *mariaSite) wayBack(key string) {
	s.T.Helper()
	s.root("nc", `SET FOREIGN_KEY_CHECKS=0; DROP DATABASE nc; CREATE DATABASE nc CHARACTER SET utf8mb4; USE nc;
CREATE TABLE oc_users (uid VARCHAR(64) PRIMARY KEY, bin LONGBLOB); INSERT INTO oc_users VALUES ('before 🦊', 0x00FF0A27225C);
CREATE TABLE oc_groups (gid VARCHAR(64), uid VARCHAR(64), FOREIGN KEY (uid) REFERENCES oc_users (uid)); INSERT INTO oc_groups VALUES ('g', 'before 🦊');
CREATE VIEW oc_view AS SELECT uid FROM oc_users; CREATE TABLE wiki_page (x INT); INSERT INTO wiki_page VALUES (1)`)
	c, err := s.D.Cover(s.T.Context(), s.Subject, s.Runner)
	s.Must(err)
	if len(c.Missing) != 1 || !strings.Contains(c.Note, "1 tables without the prefix") {
		s.T.Errorf("missing %+v, note %q", c.Missing, c.Note)
	}
	h := s.Create(key)
	s.Verify(h)
	s.root("nc", `CREATE TABLE oc_shares_limits (x INT); UPDATE oc_users SET bin = NULL; DROP TABLE oc_groups; UPDATE wiki_page SET x = 2`)
	s.Restore(h)
	s.Restore(h)
	got := s.root("nc", "SELECT uid, HEX(bin) FROM oc_users; SELECT gid FROM oc_groups; SELECT COUNT(*) FROM oc_view; SHOW TABLES; SELECT x FROM wiki_page")
	if want := "before 🦊\t00FF0A27225C\ng\n1\noc_groups\noc_users\noc_view\nwiki_page\n2\n"; got != want {
		s.T.Errorf("got %q, want %q", got, want)
	}
	noSecrets(s.Site, h)
	s.Must(s.D.Delete(s.T.Context(), h, s.Runner))
}

// passwordUnseen looks at the arguments and the environment of the tools.
func (s *mariaSite) passwordUnseen() {
	s.T.Helper()
	dir := s.T.TempDir()
	hostcopytest.Open(s.T, dir)
	seen := filepath.Join(dir, "seen")
	s.Must(os.WriteFile(seen, nil, 0o666))
	s.Must(os.Chmod(seen, 0o666))
	for _, tool := range []string{"mariadb", "mariadb-dump"} {
		wrap := fmt.Sprintf("#!/bin/sh\n{ tr '\\0' '\\n' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$$/environ; } >>%s\nexec %s \"$@\"\n", seen, hostcopytest.LookOrSkip(s.T, tool))
		s.Must(os.WriteFile(filepath.Join(dir, tool), []byte(wrap), 0o755))
	}
	run := hostcopytest.Local{Env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}}
	h, err := s.D.Create(s.T.Context(), s.Request("r/unseen"), run)
	s.Must(err)
	s.Must(s.D.Restore(s.T.Context(), h, s.Subject, run))
	b, err := os.ReadFile(seen)
	s.Must(err)
	if !strings.Contains(string(b), "--single-transaction") || strings.Contains(string(b), password) {
		s.T.Errorf("the password was on show, or nothing was seen:\n%s", b)
	}
}

func (s *mariaSite) aloneInItsDatabase() {
	s.T.Helper()
	s.Must(s.D.Configure(s.T.Context(), driver.Config{"compress": "gzip"}))
	s.root("nc", "DROP TABLE wiki_page")
	h := s.Create("r/alone")
	s.Verify(h)
	s.root("nc", "CREATE TABLE oc_x (x INT); DELETE FROM oc_groups")
	s.Restore(h)
	if got := s.root("nc", "SHOW TABLES; SELECT gid FROM oc_groups"); got != "oc_groups\noc_users\noc_view\ng\n" {
		s.T.Errorf("got %q", got)
	}
}

func (s *mariaSite) databaseDown() {
	s.T.Helper()
	s.Config("'dbtype' => 'mysql', 'dbname' => 'nc', 'datadirectory' => '/x', 'dbhost' => '127.0.0.1:1', 'dbuser' => 'nc', 'dbpassword' => 'x'")
	c, err := s.D.Cover(s.T.Context(), s.Subject, s.Runner)
	s.Must(err)
	found := false
	for _, hole := range c.Missing {
		found = found || hole.Place.Part == driver.PartDatabase && strings.Contains(hole.Reason, "cannot read the database")
	}
	if !found {
		s.T.Errorf("missing %+v", c.Missing)
	}
	if _, err := s.D.Create(s.T.Context(), s.Request("r/down"), s.Runner); err == nil {
		s.T.Error("Create succeeds without the database")
	}
}

// noSecrets looks for the password in everything kept outside config.php.
func noSecrets(s *hostcopytest.Site, h driver.Handle) {
	s.T.Helper()
	files, err := filepath.Glob(filepath.Join(s.Subject.StateDir, "snapshots", "*", "*"))
	s.Must(err)
	if len(files) == 0 {
		s.T.Error("no snapshot files found")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		s.Must(err)
		if strings.Contains(string(text), password) && !strings.Contains(f, "config.tar") {
			s.T.Errorf("%s holds the password", f)
		}
		if fi, err := os.Stat(f); err != nil || fi.Mode().Perm()&0o077 != 0 {
			s.T.Errorf("%s is open to others: %v", f, fi.Mode())
		}
	}
	if left, _ := filepath.Glob("/run/ncfleet-snapshot.*"); len(left) != 0 {
		s.T.Logf("scratch directories (of other tests?): %q", left)
	}
}

// postgres starts a database of the test's own.
func postgres(t *testing.T) (string, int) {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		t.Skip("PostgreSQL is not installed")
	}
	bin := found[len(found)-1]
	hostcopytest.LookOrSkip(t, "pg_dump")
	dir, port := dbRoot(t, "postgres"), freePort(t)
	hostcopytest.Output(t, as(t, "postgres", bin+"/initdb", "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"))
	// The administrator and the web user come in by the socket, others need
	// their password.
	hba := "local all postgres trust\nlocal all nc scram-sha-256\nlocal all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(dir+"/data/pg_hba.conf", []byte(hba), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := as(t, "postgres", bin+"/postgres", "-D", dir+"/data", "-k", dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGQUIT); _ = cmd.Wait() })
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if exec.Command("psql", "-X", "-h", dir, "-p", strconv.Itoa(port), "-U", "postgres", "-c", "SELECT 1").Run() == nil {
			return dir, port
		}
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL does not answer")
		}
	}
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	dir, port := postgres(t)
	s := newSite(t, false)
	s.Subject.DatabaseKind = "pgsql"
	root := func(db, sql string) string {
		t.Helper()
		cmd := exec.Command("psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", dir, "-p", strconv.Itoa(port), "-U", "postgres", "-d", db)
		cmd.Stdin = strings.NewReader(sql)
		return hostcopytest.Output(s.T, cmd)
	}
	web := s.Subject.WebUser
	root("postgres", "CREATE ROLE nc LOGIN PASSWORD '"+strings.ReplaceAll(password, "'", "''")+"'; CREATE ROLE reader; CREATE ROLE \""+web+"\" LOGIN IN ROLE nc;")
	for name, settings := range map[string]string{
		"host and port": fmt.Sprintf("'dbhost' => '127.0.0.1:%d', 'dbuser' => 'nc', 'dbpassword' => '%s'", port, quoted),
		"socket":        fmt.Sprintf("'dbhost' => '%s', 'dbport' => '%d', 'dbuser' => 'nc', 'dbpassword' => '%s'", dir, port, quoted),
		"peer login":    fmt.Sprintf("'dbhost' => '%s:%d', 'dbuser' => '%s', 'dbpassword' => ''", dir, port, web),
	} {
		t.Run(name, func(t *testing.T) {
			s.T = t
			root("postgres", "DROP DATABASE IF EXISTS \"n-c\";\nCREATE DATABASE \"n-c\" OWNER nc;")
			root("n-c", `CREATE EXTENSION pg_stat_statements; GRANT ALL ON SCHEMA public TO nc; SET ROLE nc;
CREATE TABLE oc_users (id SERIAL PRIMARY KEY, uid TEXT, bin BYTEA); INSERT INTO oc_users (uid, bin) VALUES ('before 🦊', '\x00ff0a27225c');
CREATE TABLE oc_groups (gid TEXT, id INT REFERENCES oc_users); INSERT INTO oc_groups VALUES ('g', 1); CREATE SEQUENCE oc_loose_seq; SELECT setval('oc_loose_seq', 41);
CREATE VIEW oc_view AS SELECT uid FROM oc_users; CREATE TABLE wiki_page (x INT); INSERT INTO wiki_page VALUES (1); GRANT SELECT ON oc_users TO reader;`)
			s.Config("'dbtype' => 'pgsql', 'dbname' => 'n-c', 'dbtableprefix' => 'oc_', 'datadirectory' => '" + s.Data + "', " + settings)
			c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
			s.Must(err)
			if len(c.Missing) != 1 || !strings.Contains(c.Note, "1 tables without the prefix") {
				t.Errorf("missing %+v, note %q", c.Missing, c.Note)
			}
			h := s.Create("r/" + strings.ReplaceAll(name, " ", "-"))
			s.Verify(h)
			root("n-c", `SET ROLE nc; CREATE TABLE oc_shares_limits (x SERIAL); UPDATE oc_users SET uid = 'after'; DROP TABLE oc_groups; UPDATE wiki_page SET x = 2; SELECT nextval('oc_loose_seq');`)
			s.Restore(h)
			s.Restore(h)
			got := root("n-c", `SELECT id, uid, bin FROM oc_users; SELECT gid FROM oc_groups; SELECT COUNT(*) FROM oc_view;
SELECT relname FROM pg_class WHERE relname ~ '^(oc_|wiki)' AND relkind IN ('r','v','S') ORDER BY 1; SELECT x FROM wiki_page; SELECT nextval('oc_loose_seq');
SELECT pg_get_userbyid(relowner), has_table_privilege('reader', 'oc_users', 'select') FROM pg_class WHERE relname = 'oc_users'; SELECT extname FROM pg_extension ORDER BY 1;`)
			want := "1|before 🦊|\\x00ff0a27225c\ng\n1\noc_groups\noc_loose_seq\noc_users\noc_users_id_seq\noc_view\nwiki_page\n2\n42\nnc|t\npg_stat_statements\nplpgsql\n"
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			noSecrets(s, h)
			s.Must(s.D.Delete(t.Context(), h, s.Runner))
		})
	}
	s.T = t
}
