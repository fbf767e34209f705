package digitalocean

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
)

// fake answers as the API of DigitalOcean does, from a world. Tags are the keys
// of a thing's Tags.
type fake struct {
	*cloudtest.World
	URL   string
	limit int             // most snapshots, 0 for no limit
	tags  map[string]bool // that exist
}

const testToken = "dop_v1_of_the_test"

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{World: cloudtest.NewWorld(), tags: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/droplets", f.listDroplets)
	mux.HandleFunc("GET /v2/droplets/{id}", f.getDroplet)
	mux.HandleFunc("GET /v2/droplets/{id}/actions", f.listActions)
	mux.HandleFunc("POST /v2/droplets/{id}/actions", f.act)
	mux.HandleFunc("GET /v2/actions/{id}", f.getAction)
	mux.HandleFunc("GET /v2/snapshots", f.listSnapshots)
	mux.HandleFunc("DELETE /v2/snapshots/{id}", f.deleteSnapshot)
	mux.HandleFunc("GET /v2/volumes", f.listVolumes)
	mux.HandleFunc("POST /v2/volumes", f.createVolume)
	mux.HandleFunc("GET /v2/volumes/{id}", f.getVolume)
	mux.HandleFunc("DELETE /v2/volumes/{id}", f.deleteVolume)
	mux.HandleFunc("POST /v2/volumes/{id}/snapshots", f.snapshotVolume)
	mux.HandleFunc("POST /v2/volumes/{id}/actions", f.actVolume)
	mux.HandleFunc("GET /v2/tags/{tag}", f.getTag)
	mux.HandleFunc("POST /v2/tags", f.createTag)
	mux.HandleFunc("DELETE /v2/tags/{tag}", f.deleteTag)
	mux.HandleFunc("POST /v2/tags/{tag}/resources", f.tagVolumes)
	mux.HandleFunc("DELETE /v2/tags/{tag}/resources", f.tagVolumes)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+testToken {
			refuse(w, 401, "Unable to authenticate you")
			return
		}
		f.Do(func() { mux.ServeHTTP(w, r) })
	}))
	t.Cleanup(s.Close)
	f.URL = s.URL
	return f
}

func refuse(w http.ResponseWriter, status int, message string) {
	id := map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "not_found", 409: "conflict", 422: "unprocessable_entity", 429: "too_many_requests"}[status]
	if id == "" {
		id = "server_error"
	}
	answer(w, status, map[string]any{"id": id, "message": message, "request_id": "4d9d8375-3c56-4925-a3e7-eb137fed17e9"})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("ratelimit-limit", "5000")
	w.Header().Set("ratelimit-remaining", "4816")
	w.WriteHeader(status)
	if v != nil {
		_ = json.NewEncoder(w).Encode(v)
	}
}

func injected(w http.ResponseWriter, status int) { refuse(w, status, "injected by the fault proxy") }

func whole(id string) int {
	n, _ := strconv.Atoi(id)
	return n
}

func list(name string, out []any) map[string]any {
	return map[string]any{name: out, "links": map[string]any{}, "meta": map[string]any{"total": len(out)}}
}

func (f *fake) droplet(m *cloudtest.Machine) map[string]any {
	volumes := []string{}
	for _, device := range slices.Sorted(maps.Keys(m.Attached)) {
		volumes = append(volumes, m.Attached[device])
	}
	v4 := []any{}
	for _, a := range m.Addresses {
		v4 = append(v4, map[string]any{"ip_address": a, "netmask": "255.255.240.0", "gateway": "203.0.113.1", "type": "public"})
	}
	return map[string]any{"id": whole(m.ID), "name": m.Name, "memory": 4096, "vcpus": 2, "disk": m.GiB, "locked": m.Locked != "",
		"status": map[string]string{"running": "active", "stopped": "off"}[m.State], "created_at": "2025-07-21T18:37:44Z",
		"volume_ids": volumes, "snapshot_ids": []int{}, "backup_ids": []int{}, "region": map[string]any{"slug": "fra1", "name": "Frankfurt 1", "available": true},
		"networks": map[string]any{"v4": v4, "v6": []any{}}, "tags": []string{}, "size_slug": "s-2vcpu-4gb", "vpc_uuid": "760e09ef-dc84-11e8-981e-3cfdfeaae000"}
}

func (f *fake) listDroplets(w http.ResponseWriter, r *http.Request) {
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(f.Machines)) {
		if name := r.URL.Query().Get("name"); name == "" || name == f.Machines[id].Name {
			out = append(out, f.droplet(f.Machines[id]))
		}
	}
	answer(w, 200, list("droplets", out))
}

func (f *fake) getDroplet(w http.ResponseWriter, r *http.Request) {
	m := f.Machines[r.PathValue("id")]
	if m == nil {
		refuse(w, 404, "The resource you were accessing could not be found.")
		return
	}
	answer(w, 200, map[string]any{"droplet": f.droplet(m)})
}

func action(a *cloudtest.Action) map[string]any {
	return map[string]any{"id": whole(a.ID), "status": map[string]string{"running": "in-progress", "done": "completed", "failed": "errored"}[a.State],
		"type": a.Kind, "started_at": "2025-07-21T18:37:44Z", "completed_at": nil, "resource_id": 1, "resource_type": "droplet", "region_slug": "fra1"}
}

func (f *fake) getAction(w http.ResponseWriter, r *http.Request) {
	a := f.Actions[r.PathValue("id")]
	if a == nil {
		refuse(w, 404, "The resource you were accessing could not be found.")
		return
	}
	answer(w, 200, map[string]any{"action": action(a)})
}

func (f *fake) listActions(w http.ResponseWriter, r *http.Request) {
	out := []any{}
	ids := slices.Sorted(maps.Keys(f.Actions))
	slices.Reverse(ids)
	for _, id := range ids {
		if f.Actions[id].On == r.PathValue("id") {
			out = append(out, action(f.Actions[id]))
		}
	}
	answer(w, 200, list("actions", out))
}

// busy starts an action that locks the droplet.
func (f *fake) busy(m *cloudtest.Machine, kind string, effect func() error) *cloudtest.Action {
	a := f.Begin(kind, m.ID, func() error { m.Locked = ""; return effect() })
	m.Locked = a.ID
	return a
}

func (f *fake) act(w http.ResponseWriter, r *http.Request) {
	m := f.Machines[r.PathValue("id")]
	var body struct {
		Type, Name string
		Image      json.Number
	}
	if m == nil || json.NewDecoder(r.Body).Decode(&body) != nil {
		refuse(w, 404, "The resource you were accessing could not be found.")
		return
	}
	if m.Locked != "" {
		refuse(w, 422, "Droplet already has a pending event.")
		return
	}
	var a *cloudtest.Action
	switch body.Type {
	case "power_off":
		a = f.busy(m, body.Type, func() error { m.Stop(); return nil })
	case "power_on":
		a = f.busy(m, body.Type, func() error { m.Start(); return nil })
	case "snapshot":
		if f.limit > 0 && len(f.Snaps) >= f.limit {
			refuse(w, 422, "You have reached the snapshot limit of your account")
			return
		}
		contents := m.Disk // of now; the snapshot is seen when it is done
		a = f.busy(m, body.Type, func() error {
			s, _ := f.NewSnapshot(cloudtest.Snapshot{Name: body.Name, Of: m.ID, Contents: contents, GiB: m.GiB})
			s.State = "ready"
			return nil
		})
	case "restore":
		s := f.Snaps[body.Image.String()]
		if s == nil || s.Of != m.ID {
			refuse(w, 422, "The image does not exist")
			return
		}
		a = f.busy(m, body.Type, func() error { m.Stop(); m.Disk = s.Contents; m.Start(); return nil })
	default:
		refuse(w, 422, "No such action")
		return
	}
	answer(w, 201, map[string]any{"action": action(a)})
}

func (f *fake) listSnapshots(w http.ResponseWriter, _ *http.Request) {
	out := []any{}
	for _, s := range f.ListSnaps() {
		out = append(out, snapshot(s))
	}
	answer(w, 200, list("snapshots", out))
}

func snapshot(s *cloudtest.Snapshot) map[string]any {
	kind := "droplet"
	if strings.Contains(s.Of, "-") {
		kind = "volume"
	}
	return map[string]any{"id": s.ID, "name": s.Name, "created_at": s.Created.Format("2006-01-02T15:04:05Z"), "regions": []string{"fra1"},
		"min_disk_size": s.GiB, "size_gigabytes": 2.36, "resource_id": s.Of, "resource_type": kind, "tags": slices.Sorted(maps.Keys(s.Tags))}
}

func (f *fake) deleteSnapshot(w http.ResponseWriter, r *http.Request) {
	if f.Snaps[r.PathValue("id")] == nil {
		refuse(w, 404, "The resource you were accessing could not be found.")
		return
	}
	delete(f.Snaps, r.PathValue("id"))
	answer(w, 204, nil)
}

// volumeName is what the provider accepts.
var volumeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

var tagName = regexp.MustCompile(`^[A-Za-z0-9:_-]{1,255}$`)

func volume(v *cloudtest.Volume) map[string]any {
	droplets := []int{}
	if v.Machine != "" {
		droplets = append(droplets, whole(v.Machine))
	}
	return map[string]any{"id": v.ID, "name": v.Name, "size_gigabytes": v.GiB, "description": v.Note, "droplet_ids": droplets,
		"region": map[string]any{"slug": "fra1"}, "created_at": "2025-07-21T18:37:44Z", "filesystem_type": "ext4", "filesystem_label": "", "tags": slices.Sorted(maps.Keys(v.Tags))}
}

func (f *fake) listVolumes(w http.ResponseWriter, _ *http.Request) {
	out := []any{}
	for _, v := range f.ListVolumes() {
		out = append(out, volume(v))
	}
	answer(w, 200, list("volumes", out))
}

func (f *fake) getVolume(w http.ResponseWriter, r *http.Request) {
	v := f.Volumes[r.PathValue("id")]
	if v == nil {
		refuse(w, 404, "volume not found")
		return
	}
	answer(w, 200, map[string]any{"volume": volume(v)})
}

func (f *fake) marks(tags []string) (map[string]string, bool) {
	out := map[string]string{}
	for _, tag := range tags {
		if !tagName.MatchString(tag) {
			return nil, false
		}
		out[tag], f.tags[tag] = "", true
	}
	return out, true
}

func (f *fake) createVolume(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name, Region, Description string
		SizeGigabytes             int64  `json:"size_gigabytes"`
		SnapshotID                string `json:"snapshot_id"`
		Tags                      []string
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	s := f.Snaps[body.SnapshotID]
	tags, ok := f.marks(body.Tags)
	for _, v := range f.Volumes {
		if v.Name == body.Name {
			refuse(w, 409, "a volume with this name already exists in region fra1")
			return
		}
	}
	if err != nil || s == nil || !ok || !volumeName.MatchString(body.Name) || body.SizeGigabytes < s.GiB {
		refuse(w, 422, fmt.Sprintf("invalid volume: %+v", body))
		return
	}
	id := fmt.Sprintf("00000000-0000-4000-8000-%012s", f.ID())
	v := f.NewVolume(cloudtest.Volume{ID: id, Name: body.Name, GiB: body.SizeGigabytes, Tags: tags, Note: body.Description}, s)
	answer(w, 201, map[string]any{"volume": volume(v)})
}

func (f *fake) deleteVolume(w http.ResponseWriter, r *http.Request) {
	v := f.Volumes[r.PathValue("id")]
	switch {
	case v == nil:
		refuse(w, 404, "volume not found")
	case v.Machine != "":
		refuse(w, 409, "cannot delete an attached volume")
	default:
		delete(f.Volumes, v.ID)
		answer(w, 204, nil)
	}
}

func (f *fake) snapshotVolume(w http.ResponseWriter, r *http.Request) {
	v := f.Volumes[r.PathValue("id")]
	var body struct {
		Name string
		Tags []string
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	tags, ok := f.marks(body.Tags)
	if v == nil || err != nil || !ok {
		refuse(w, 422, "invalid snapshot")
		return
	}
	id := fmt.Sprintf("10000000-0000-4000-8000-%012s", f.ID())
	s, _ := f.NewSnapshot(cloudtest.Snapshot{ID: id, Name: body.Name, Of: v.ID, Contents: v.Contents, GiB: v.GiB, Tags: tags})
	answer(w, 201, map[string]any{"snapshot": snapshot(s)})
}

func (f *fake) actVolume(w http.ResponseWriter, r *http.Request) {
	v := f.Volumes[r.PathValue("id")]
	var body struct {
		Type      string
		DropletID json.Number `json:"droplet_id"`
	}
	if v == nil || json.NewDecoder(r.Body).Decode(&body) != nil || f.Machines[body.DropletID.String()] == nil {
		refuse(w, 404, "not found")
		return
	}
	m := f.Machines[body.DropletID.String()]
	switch {
	case m.Locked != "":
		refuse(w, 422, "Droplet already has a pending event.")
	case body.Type == "detach" && v.Machine != m.ID:
		refuse(w, 404, "Attachment not found")
	case body.Type == "detach":
		answer(w, 202, map[string]any{"action": action(f.busy(m, "detach_volume", func() error { f.Detach(v); return nil }))})
	case v.Machine != "":
		refuse(w, 422, "This volume is already attached")
	default:
		answer(w, 202, map[string]any{"action": action(f.busy(m, "attach_volume", func() error {
			for _, device := range []string{"sdb", "sdc", "sdd"} { // the first that is free, as the kernel does
				if m.Attached[device] == "" {
					return f.Attach(v, m, device)
				}
			}
			return fmt.Errorf("cannot attach more volumes to the Droplet")
		}))})
	}
}
