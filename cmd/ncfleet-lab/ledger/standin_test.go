package ledger

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/standin"
)

const password = "Abc-1234567"

// nextcloud is a stand-in on php -S.
type nextcloud struct {
	t         *testing.T
	dir, tree string
	url       string
}

func newNextcloud(t *testing.T) *nextcloud {
	t.Helper()
	modules, err := exec.Command("php", "-m").Output()
	if err != nil {
		t.Skipf("php is not here: %v", err)
	}
	for _, m := range []string{"pdo_sqlite", "SimpleXML", "posix"} {
		if !strings.Contains(string(modules), m+"\n") {
			t.Skipf("this php has no module %s", m)
		}
	}
	n := &nextcloud{t: t, dir: t.TempDir()}
	n.tree = n.dir + "/html"
	if err := standin.Unpack(n.tree, standin.Versions()[0]); err != nil {
		t.Fatal(err)
	}
	n.occ("maintenance:install", "--admin-user=admin", "--admin-pass="+password, "--data-dir="+n.dir+"/data")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := exec.Command("php", "-d", "opcache.enable=0", "-S", address, "-t", n.tree)
	c.Dir = n.tree
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	})
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if strings.Contains(lines.Text(), "started") {
			go func() {
				for lines.Scan() { // until the server ends
				}
			}()
			n.url = "http://" + address
			return n
		}
	}
	t.Fatal("php -S did not start")
	return nil
}

func (n *nextcloud) occ(args ...string) {
	n.t.Helper()
	c := exec.Command("php", append([]string{"occ"}, args...)...)
	c.Dir = n.tree
	if out, err := c.CombinedOutput(); err != nil {
		n.t.Errorf("occ %s: %v\n%s", args[0], err, out)
	}
}

func (n *nextcloud) site() Site {
	return Site{Name: "standin", URL: n.url, User: "admin", Password: password}
}

// TestStandin closes and opens a site while it is written to, then lets it
// lose what was written after a copy of its database was made.
func TestStandin(t *testing.T) {
	t.Parallel()
	n := newNextcloud(t)
	db := n.dir + "/data/owncloud.db"
	copyDatabase := func(from, to string) {
		if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
			t.Errorf("cp: %v %s", err, out)
		}
	}
	var afterCopy string
	closed, reopened := false, false
	good := 0
	b := &book{}
	var once sync.Once
	until(t, b, []Site{n.site()}, func(e Entry) bool {
		switch {
		case e.Acknowledged && good == 6 && !closed:
			closed = true
			n.occ("maintenance:mode", "--on")
		case e.Code == http.StatusServiceUnavailable && !reopened:
			reopened = true
			copyDatabase(db, db+".saved")
			n.occ("maintenance:mode", "--off")
		case e.Acknowledged && reopened && e.Path != counterFile:
			once.Do(func() { afterCopy = e.Path })
		}
		if e.Acknowledged {
			good++
		}
		return good >= 16
	})
	r := check(t, b, n.site())
	s := r.Sites[0]
	if !r.Clean() || len(s.Closed) != 1 || s.Closed[0].To.IsZero() || s.Codes["PUT 503"]+s.Codes["GET 503"] == 0 {
		t.Fatalf("a site that was closed and opened: %+v", r)
	}
	copyDatabase(db+".saved", db)
	s = check(t, b, n.site()).Sites[0]
	named := false
	for _, f := range s.Lost {
		named = named || f.Path == afterCopy
	}
	if !named || len(s.Lost) >= s.Files {
		t.Errorf("%s is lost; reported: %+v", afterCopy, s)
	}
	var text bytes.Buffer
	if err := (Report{[]SiteReport{s}}).Write(&text); err != nil || !strings.Contains(text.String(), "LOST "+afterCopy) {
		t.Errorf("report: %v\n%s", err, text.String())
	}
}
