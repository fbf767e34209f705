package proxmox

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

const (
	tokenID     = "ncfleet@pve!fleet"
	tokenSecret = "12345678-1234-1234-1234-123456789abc"
	guestID     = "100"
)

// fake answers as the API of Proxmox VE does, from a world.
type fake struct {
	*cloudtest.World
	server *httptest.Server
	// kind is "qemu" or "lxc"; config holds the guest's disks.
	kind   string
	config map[string]any
	// feature is whether all disks lie on storages with snapshots; zfs allows a
	// rollback to the newest snapshot alone; full fails every snapshot's task.
	feature, zfs, full bool
	lock               string // "backup": the guest is locked by somebody else
	phrase             bool   // tells errors in the status line alone, as older versions do
	others             []map[string]any
}

func newFake(t *testing.T, kind string) *fake {
	t.Helper()
	f := &fake{World: cloudtest.NewWorld(), kind: kind, feature: true}
	f.config = map[string]any{"name": "web-1", "cores": 4, "digest": "x", "scsi0": "local-zfs:vm-100-disk-0,backup=0,size=32G", "ide2": "none,media=cdrom"}
	if kind == "lxc" {
		f.config = map[string]any{"hostname": "web-1", "rootfs": "local-zfs:subvol-100-disk-0,size=8G"}
	}
	f.AddMachine(cloudtest.Machine{ID: guestID, Name: "web-1", Disk: "debian nextcloud mariadb", GiB: 32})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api2/json/version", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"version": "9.0.1"}) })
	mux.HandleFunc("GET /api2/json/cluster/resources", f.resources)
	mux.HandleFunc("GET /api2/json/nodes/{node}/tasks", f.active)
	mux.HandleFunc("GET /api2/json/nodes/{node}/tasks/{upid}/status", f.task)
	guest := "/api2/json/nodes/pve2/" + kind + "/{vmid}"
	mux.HandleFunc("GET "+guest+"/config", f.about(func(w http.ResponseWriter, _ *http.Request, _ *cloudtest.Machine) { answer(w, f.config) }))
	mux.HandleFunc("GET "+guest+"/feature", f.about(func(w http.ResponseWriter, _ *http.Request, _ *cloudtest.Machine) {
		answer(w, map[string]any{"hasFeature": f.feature, "nodes": []string{"pve2"}})
	}))
	mux.HandleFunc("GET "+guest+"/status/current", f.about(func(w http.ResponseWriter, _ *http.Request, m *cloudtest.Machine) {
		answer(w, map[string]any{"status": m.State, "vmid": m.ID})
	}))
	mux.HandleFunc("POST "+guest+"/status/{verb}", f.about(f.power))
	mux.HandleFunc("GET "+guest+"/snapshot", f.about(f.list))
	mux.HandleFunc("POST "+guest+"/snapshot", f.about(f.create))
	mux.HandleFunc("DELETE "+guest+"/snapshot/{name}", f.about(f.remove))
	mux.HandleFunc("POST "+guest+"/snapshot/{name}/rollback", f.about(f.rollback))
	f.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "PVEAPIToken="+tokenID+"="+tokenSecret {
			f.refuse(w, 401, "invalid token value!")
			return
		}
		f.Do(func() { mux.ServeHTTP(w, r) })
	}))
	t.Cleanup(f.server.Close)
	return f
}

// settings are those of a driver; the certificate's authority is that of server.
func settings(server *httptest.Server) driver.Config {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return driver.Config{"endpoint": server.URL, "token_id": tokenID, "token_secret": tokenSecret, "ca": string(ca), "poll": "2ms", "wait": "20s"}
}

func answer(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

// refuse tells an error as Proxmox VE does: in the status line, and in newer
// versions in the body, too.
func (f *fake) refuse(w http.ResponseWriter, status int, said string) {
	if !f.phrase {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"data": nil, "message": said + "\n"})
		return
	}
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{\"data\":null}", status, said)
	_ = conn.Close()
}

// injected writes Proxmox VE's own form of an error.
func injected(w http.ResponseWriter, status int) {
	(&fake{}).refuse(w, status, "injected by the fault proxy")
}

func (f *fake) about(do func(http.ResponseWriter, *http.Request, *cloudtest.Machine)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m := f.Machines[r.PathValue("vmid")]
		if m == nil {
			f.refuse(w, 500, "Configuration file 'nodes/pve2/qemu-server/"+r.PathValue("vmid")+".conf' does not exist")
			return
		}
		do(w, r, m)
	}
}

func (f *fake) resources(w http.ResponseWriter, _ *http.Request) {
	out := append([]map[string]any{}, f.others...)
	for _, m := range f.Machines {
		out = append(out, map[string]any{"id": f.kind + "/" + m.ID, "vmid": json.Number(m.ID), "name": m.Name, "node": "pve2", "type": f.kind, "status": m.State, "template": 0})
	}
	answer(w, out)
}

func upid(a *cloudtest.Action) string {
	return fmt.Sprintf("UPID:pve2:0000%s:0001:6A000000:%s:%s:%s:", a.ID, a.Kind, guestID, tokenID)
}

func (f *fake) active(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("source") != "active" || r.URL.Query().Get("vmid") != guestID {
		f.refuse(w, 400, "Parameter verification failed.")
		return
	}
	out := []any{}
	for _, a := range f.Actions {
		t := map[string]any{"upid": upid(a), "starttime": 1}
		if a.State != "running" {
			t["endtime"] = 2
		}
		out = append(out, t)
	}
	answer(w, out)
}

var actionID = regexp.MustCompile(`^UPID:pve2:0000([0-9]+):`)

func (f *fake) task(w http.ResponseWriter, r *http.Request) {
	m := actionID.FindStringSubmatch(r.PathValue("upid"))
	if m == nil || f.Actions[m[1]] == nil {
		f.refuse(w, 500, "unable to find task")
		return
	}
	switch a := f.Actions[m[1]]; a.State {
	case "running":
		answer(w, map[string]any{"status": "running", "upid": upid(a)})
	case "done":
		answer(w, map[string]any{"status": "stopped", "exitstatus": "OK"})
	default:
		answer(w, map[string]any{"status": "stopped", "exitstatus": a.Error})
	}
}

// begin locks the guest for as long as the action takes.
func (f *fake) begin(w http.ResponseWriter, m *cloudtest.Machine, kind, lock string, effect func() error) {
	if held := m.Locked + f.lock; held != "" {
		f.refuse(w, 500, "VM is locked ("+held+")")
		return
	}
	m.Locked = lock
	answer(w, upid(f.Begin(kind, m.ID, func() error {
		m.Locked = ""
		return effect()
	})))
}

func (f *fake) power(w http.ResponseWriter, r *http.Request, m *cloudtest.Machine) {
	verb := r.PathValue("verb")
	f.begin(w, m, "qm"+verb, "", func() error {
		switch verb {
		case "stop":
			m.Stop()
		case "start":
			m.Start()
		default:
			return errors.New("unknown verb " + verb)
		}
		return nil
	})
}

func (f *fake) list(w http.ResponseWriter, _ *http.Request, _ *cloudtest.Machine) {
	out := []any{map[string]any{"name": "current", "description": "You are here!", "digest": "x", "running": 1}}
	for _, s := range f.ListSnaps() {
		e := map[string]any{"name": s.Name, "description": s.Note, "snaptime": s.Created.Unix(), "vmstate": 0}
		if s.State != "ready" {
			e["snapstate"] = map[string]string{"pending": "prepare", "failed": "delete"}[s.State]
		}
		out = append(out, e)
	}
	answer(w, out)
}

func (f *fake) named(name string) *cloudtest.Snapshot {
	for _, s := range f.Snaps {
		if s.Name == name {
			return s
		}
	}
	return nil
}

var validName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{1,39}$`)

func (f *fake) create(w http.ResponseWriter, r *http.Request, m *cloudtest.Machine) {
	name := r.FormValue("snapname")
	switch {
	case !validName.MatchString(name), f.kind == "qemu" && r.FormValue("vmstate") != "0", f.kind == "lxc" && r.FormValue("vmstate") != "":
		f.refuse(w, 400, "Parameter verification failed.")
		return
	case f.named(name) != nil:
		f.refuse(w, 500, "snapshot name '"+name+"' already used")
		return
	case !f.feature:
		f.refuse(w, 500, "snapshot feature is not available")
		return
	case m.Locked+f.lock != "":
		f.refuse(w, 500, "VM is locked ("+m.Locked+f.lock+")")
		return
	}
	s := &cloudtest.Snapshot{ID: f.ID(), Name: name, Note: r.FormValue("description"), Of: m.ID, Contents: m.Disk, State: "pending", Created: f.Now()}
	f.Snaps[s.ID] = s
	f.begin(w, m, "qmsnapshot", "snapshot", func() error {
		if f.full {
			delete(f.Snaps, s.ID)
			return errors.New("zfs error: cannot create snapshot: out of space")
		}
		if s.State == "pending" {
			s.State = "ready"
		}
		return nil
	})
}

func (f *fake) remove(w http.ResponseWriter, r *http.Request, m *cloudtest.Machine) {
	s := f.named(r.PathValue("name"))
	if s == nil {
		f.refuse(w, 500, "snapshot '"+r.PathValue("name")+"' does not exist")
		return
	}
	f.begin(w, m, "qmdelsnapshot", "snapshot-delete", func() error {
		delete(f.Snaps, s.ID)
		return nil
	})
}

func (f *fake) rollback(w http.ResponseWriter, r *http.Request, m *cloudtest.Machine) {
	s := f.named(r.PathValue("name"))
	switch {
	case s == nil:
		f.refuse(w, 500, "snapshot '"+r.PathValue("name")+"' does not exist")
		return
	case f.zfs && slices.ContainsFunc(f.ListSnaps(), func(o *cloudtest.Snapshot) bool { return o.Created.After(s.Created) }):
		f.refuse(w, 500, "can't rollback, '"+s.Name+"' is not most recent snapshot on 'local-zfs:vm-100-disk-0'")
		return
	}
	f.begin(w, m, "qmrollback", "rollback", func() error {
		m.Stop()
		m.Disk = s.Contents
		return nil
	})
}

// damage makes the key's snapshot one that failed half-way.
func (f *fake) damage(_ *testing.T, h driver.Handle) {
	f.Look(func() { f.named(name(h.Key)).State = "failed" })
}

// kept counts the snapshots of a key.
func (f *fake) kept(_ *testing.T, key string) (n, volumes int) {
	f.Look(func() {
		for _, s := range f.Snaps {
			if strings.Contains(s.Note, "ncfleet-key: "+key+"\n") {
				n++
			}
		}
	})
	return n, 0
}
