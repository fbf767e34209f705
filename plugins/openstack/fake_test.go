package openstack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
)

// fake answers as Keystone, Nova, Cinder and Glance do, from a world. An image
// is a snapshot of a machine.
type fake struct {
	*cloudtest.World
	URL    string
	public string            // where the catalog says that the services are
	images map[string]string // machine to the image it runs on, "" for a volume
	broken string            // a volume status that every new volume gets
	limit  int               // most snapshots, 0 for no limit
	// cinder, when set, is a real one to whom the volumes belong.
	cinder func(volume, action string, arguments map[string]any) error
}

const testSecret = "an-application-credential"

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{World: cloudtest.NewWorld(), images: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /identity/v3/auth/tokens", f.login)
	mux.HandleFunc("GET /image/{$}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 300, map[string]any{"versions": []any{map[string]any{"id": "v2.16", "status": "CURRENT", "links": []any{map[string]any{"rel": "self", "href": f.public + "/image/v2/"}}}}})
	})
	for pattern, handler := range map[string]http.HandlerFunc{
		"GET /compute/v2.1/servers/detail":                            f.listServers,
		"GET /compute/v2.1/servers/{id}":                              f.getServer,
		"POST /compute/v2.1/servers/{id}/action":                      f.act,
		"GET /compute/v2.1/servers/{id}/os-volume_attachments":        f.listAttachments,
		"POST /compute/v2.1/servers/{id}/os-volume_attachments":       f.attach,
		"DELETE /compute/v2.1/servers/{id}/os-volume_attachments/{v}": f.detach,
		"GET /volume/v3/p/volumes/detail":                             f.listVolumes,
		"POST /volume/v3/p/volumes":                                   f.createVolume,
		"GET /volume/v3/p/volumes/{id}":                               f.oneVolume,
		"PUT /volume/v3/p/volumes/{id}":                               f.oneVolume,
		"DELETE /volume/v3/p/volumes/{id}":                            f.oneVolume,
		"GET /volume/v3/p/snapshots/detail":                           f.listSnapshots,
		"POST /volume/v3/p/snapshots":                                 f.createSnapshot,
		"DELETE /volume/v3/p/snapshots/{id}":                          f.deleteSnapshot,
		"GET /image/v2/images":                                        f.listImages,
		"DELETE /image/v2/images/{id}":                                f.deleteSnapshot,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Auth-Token") != "token" && f.cinder == nil {
				refuse(w, 401, "unauthorized", "The request you have made requires authentication.")
				return
			}
			handler(w, r)
		})
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.Do(func() { mux.ServeHTTP(w, r) }) }))
	t.Cleanup(s.Close)
	f.URL, f.public = s.URL, s.URL
	f.fill()
	return f
}

// fill makes a server with a disk of its own and one volume, and another server
// that nothing may touch.
func (f *fake) fill() {
	for i, name := range []string{"cloud-07", "cloud-08"} {
		id := f.uuid()
		f.AddMachine(cloudtest.Machine{ID: id, Name: name, Disk: name + " root", GiB: 20, Addresses: []string{fmt.Sprintf("10.0.0.%d", i+7)}})
		f.images[id] = "base-image"
		f.AddVolume(cloudtest.Volume{ID: f.uuid(), Name: name + "-data", Contents: name + " data", GiB: 100, Machine: id, Device: "/dev/vdb", Tags: map[string]string{"team": "blue"}})
	}
}

func (f *fake) uuid() (id string) {
	f.Look(func() { id = f.newID() })
	return id
}

// newID is for use under Do.
func (f *fake) newID() string { return fmt.Sprintf("%08s-0000-4000-8000-000000000000", f.ID()) }

func (f *fake) machineNamed(name string) *cloudtest.Machine {
	for _, m := range f.Machines {
		if m.Name == name {
			return m
		}
	}
	return nil
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if v != nil {
		_ = json.NewEncoder(w).Encode(v)
	}
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	answer(w, status, map[string]any{kind: map[string]any{"code": status, "message": message}})
}

func body(r *http.Request) map[string]map[string]any {
	b, _ := io.ReadAll(r.Body)
	var v map[string]map[string]any
	_ = json.Unmarshal(b, &v)
	return v
}

func texts(v any) map[string]string {
	out := map[string]string{}
	m, _ := v.(map[string]any)
	for k, x := range m {
		out[k] = fmt.Sprint(x)
	}
	return out
}

func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if !strings.Contains(string(b), testSecret) {
		refuse(w, 401, "error", "The request you have made requires authentication.")
		return
	}
	catalog := []any{}
	for kind, path := range map[string]string{"compute": "/compute/v2.1", "volumev3": "/volume/v3/p", "block-storage": "/volume/v3/p", "image": "/image"} {
		catalog = append(catalog, map[string]any{"type": kind, "name": kind, "endpoints": []any{map[string]any{"interface": "public", "region": "one", "region_id": "one", "url": f.public + path}}})
	}
	w.Header().Set("X-Subject-Token", "token")
	answer(w, 201, map[string]any{"token": map[string]any{"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": catalog, "project": map[string]any{"id": "p"}}})
}

func (f *fake) server(m *cloudtest.Machine) map[string]any {
	s := map[string]any{"id": m.ID, "name": m.Name, "status": map[string]string{"running": "ACTIVE", "stopped": "SHUTOFF"}[m.State], "image": "",
		"OS-EXT-STS:task_state": nil, "metadata": map[string]string{}, "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z"}
	list := []any{}
	for _, a := range m.Addresses {
		list = append(list, map[string]any{"addr": a, "version": 4})
	}
	s["addresses"] = map[string]any{"net": list}
	if i := f.images[m.ID]; i != "" {
		s["image"] = map[string]any{"id": i}
	}
	if m.Locked != "" {
		s["OS-EXT-STS:task_state"] = f.Actions[m.Locked].Kind
	}
	return s
}

func (f *fake) listServers(w http.ResponseWriter, r *http.Request) {
	name, err := regexp.Compile(r.URL.Query().Get("name"))
	if err != nil {
		refuse(w, 400, "badRequest", err.Error())
		return
	}
	out := []any{}
	for _, m := range f.Machines {
		if name.MatchString(m.Name) {
			out = append(out, f.server(m))
		}
	}
	answer(w, 200, map[string]any{"servers": out})
}

func (f *fake) machine(w http.ResponseWriter, r *http.Request) *cloudtest.Machine {
	f.settle()
	m := f.Machines[r.PathValue("id")]
	if m == nil {
		refuse(w, 404, "itemNotFound", "Instance "+r.PathValue("id")+" could not be found.")
	}
	return m
}

// settle takes the locks of ended actions off.
func (f *fake) settle() {
	ended := func(id string) bool { return id != "" && f.Actions[id].State != "running" }
	for _, m := range f.Machines {
		if ended(m.Locked) {
			m.Locked = ""
		}
	}
	for _, v := range f.Volumes {
		if ended(v.Locked) {
			v.Locked = ""
		}
	}
}

func (f *fake) getServer(w http.ResponseWriter, r *http.Request) {
	if m := f.machine(w, r); m != nil {
		answer(w, 200, map[string]any{"server": f.server(m)})
	}
}

func (f *fake) act(w http.ResponseWriter, r *http.Request) {
	m := f.machine(w, r)
	if m == nil {
		return
	}
	b := body(r)
	if m.Locked != "" {
		refuse(w, 409, "conflictingRequest", "Cannot do it while the instance is in task_state "+f.Actions[m.Locked].Kind)
		return
	}
	begin := func(kind string, effect func()) {
		m.Locked = f.Begin(kind, m.ID, func() error { effect(); return nil }).ID
	}
	_, stop := b["os-stop"]
	_, start := b["os-start"]
	create, rebuild := b["createImage"], b["rebuild"]
	switch {
	case stop && m.State == "running":
		begin("powering-off", m.Stop)
	case start && m.State == "stopped":
		begin("powering-on", m.Start)
	case create != nil:
		s, _ := f.NewSnapshot(cloudtest.Snapshot{ID: f.newID(), Name: fmt.Sprint(create["name"]), Of: m.ID, Contents: m.Disk, GiB: m.GiB, Tags: texts(create["metadata"])})
		w.Header().Set("Location", f.public+"/image/v2/images/"+s.ID)
		answer(w, 202, nil)
		return
	case rebuild != nil && m.State == "stopped":
		image := f.Snaps[fmt.Sprint(rebuild["imageRef"])]
		if image == nil || image.State != "ready" {
			refuse(w, 400, "badRequest", "Cannot find image for rebuild")
			return
		}
		begin("rebuilding", func() { m.Disk, f.images[m.ID] = image.Contents, image.ID })
		answer(w, 202, map[string]any{"server": f.server(m)})
		return
	default:
		refuse(w, 409, "conflictingRequest", "Cannot do it while the instance is in vm_state "+m.State)
		return
	}
	answer(w, 202, nil)
}

func (f *fake) listAttachments(w http.ResponseWriter, r *http.Request) {
	m := f.machine(w, r)
	if m == nil {
		return
	}
	out := []any{}
	for device, id := range m.Attached {
		out = append(out, map[string]any{"id": id, "volumeId": id, "serverId": m.ID, "device": device})
	}
	answer(w, 200, map[string]any{"volumeAttachments": out})
}

func (f *fake) attach(w http.ResponseWriter, r *http.Request) {
	m := f.machine(w, r)
	if m == nil {
		return
	}
	b := body(r)["volumeAttachment"]
	v := f.Volumes[fmt.Sprint(b["volumeId"])]
	switch {
	case v == nil:
		refuse(w, 404, "itemNotFound", "Volume could not be found.")
	case f.status(v) != "available":
		refuse(w, 400, "badRequest", "Invalid volume: volume "+v.ID+" status must be available")
	case m.State != "stopped":
		refuse(w, 409, "conflictingRequest", "the test stops a server before its volumes are exchanged")
	default:
		if err := f.Attach(v, m, fmt.Sprint(b["device"])); err != nil {
			refuse(w, 400, "badRequest", err.Error())
			return
		}
		if f.cinder != nil {
			if err := f.cinder(v.ID, "os-attach", map[string]any{"instance_uuid": m.ID, "mountpoint": v.Device, "mode": "rw"}); err != nil {
				f.Detach(v)
				refuse(w, 500, "computeFault", err.Error())
				return
			}
		}
		v.Locked = f.Begin("attaching", v.ID, func() error { return nil }).ID
		answer(w, 200, map[string]any{"volumeAttachment": map[string]any{"id": v.ID, "volumeId": v.ID, "serverId": m.ID, "device": v.Device}})
	}
}

func (f *fake) detach(w http.ResponseWriter, r *http.Request) {
	m := f.machine(w, r)
	if m == nil {
		return
	}
	v := f.Volumes[r.PathValue("v")]
	if v == nil || v.Machine != m.ID {
		refuse(w, 404, "itemNotFound", "volume_id not found")
		return
	}
	if s := f.status(v); s != "in-use" || m.State != "stopped" {
		refuse(w, 409, "conflictingRequest", "the volume is "+s+", the server "+m.State)
		return
	}
	if f.cinder != nil {
		if err := f.cinder(v.ID, "os-detach", map[string]any{}); err != nil {
			refuse(w, 500, "computeFault", err.Error())
			return
		}
	}
	v.Locked = f.Begin("detaching", v.ID, func() error { f.Detach(v); return nil }).ID
	answer(w, 202, nil)
}
