package hcloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
)

// fake answers as the API of the Hetzner Cloud does, from a world.
type fake struct {
	*cloudtest.World
	URL       string
	protected bool // rebuild protection of every server
	limit     int  // most images, 0 for no limit
}

const testToken = "a-token-of-64-characters"

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{World: cloudtest.NewWorld()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/servers", f.listServers)
	mux.HandleFunc("GET /v1/servers/{id}", f.getServer)
	mux.HandleFunc("POST /v1/servers/{id}/actions/{verb}", f.act)
	mux.HandleFunc("GET /v1/actions/{id}", f.getAction)
	mux.HandleFunc("GET /v1/images", f.listImages)
	mux.HandleFunc("DELETE /v1/images/{id}", f.deleteImage)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+testToken {
			refuse(w, 401, "unauthorized", "unable to authenticate")
			return
		}
		f.Do(func() { mux.ServeHTTP(w, r) })
	}))
	t.Cleanup(s.Close)
	f.URL = s.URL + "/v1"
	return f
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": message, "details": nil}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("RateLimit-Limit", "3600")
	w.Header().Set("RateLimit-Remaining", "3000")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// injected writes the provider's own form of an error.
func injected(w http.ResponseWriter, status int) {
	code := map[int]string{401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict", 429: "rate_limit_exceeded", 500: "server_error", 503: "unavailable"}[status]
	if code == "" { // the gateway in front of the API speaks HTML
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprint(w, "<html><body>Bad Gateway</body></html>")
		return
	}
	refuse(w, status, code, "injected by the fault proxy")
}

func whole(id string) int64 {
	n, _ := strconv.ParseInt(id, 10, 64)
	return n
}

func page(n int) map[string]any {
	return map[string]any{"pagination": map[string]any{"page": 1, "per_page": 50, "previous_page": nil, "next_page": nil, "last_page": 1, "total_entries": n}}
}

func (f *fake) server(m *cloudtest.Machine) map[string]any {
	volumes := []int64{}
	for _, v := range m.Attached {
		volumes = append(volumes, whole(v))
	}
	status := map[string]string{"running": "running", "stopped": "off"}[m.State]
	return map[string]any{
		"id": whole(m.ID), "name": m.Name, "status": status, "created": "2025-01-30T23:55:00+00:00", "locked": m.Locked != "",
		"public_net": map[string]any{
			"ipv4":         map[string]any{"id": 42, "ip": m.Addresses[0], "blocked": false, "dns_ptr": "x.example"},
			"ipv6":         map[string]any{"id": 43, "ip": "2001:db8::/64", "blocked": false, "dns_ptr": []any{}},
			"floating_ips": []any{}, "firewalls": []any{}},
		"private_net":       []any{map[string]any{"network": 7, "ip": "10.0.0.2", "alias_ips": []any{}, "mac_address": "86:00:ff:2a:7d:e1"}},
		"primary_disk_size": m.GiB, "volumes": volumes, "labels": map[string]string{},
		"protection": map[string]bool{"delete": false, "rebuild": f.protected}, "load_balancers": []any{},
	}
}

func (f *fake) listServers(w http.ResponseWriter, r *http.Request) {
	out := []any{}
	for _, m := range f.Machines {
		if name := r.URL.Query().Get("name"); name == "" || name == m.Name {
			out = append(out, f.server(m))
		}
	}
	answer(w, 200, map[string]any{"servers": out, "meta": page(len(out))})
}

func (f *fake) getServer(w http.ResponseWriter, r *http.Request) {
	m := f.Machines[r.PathValue("id")]
	if m == nil {
		refuse(w, 404, "not_found", "server with ID '"+r.PathValue("id")+"' not found")
		return
	}
	answer(w, 200, map[string]any{"server": f.server(m)})
}

func action(a *cloudtest.Action) map[string]any {
	out := map[string]any{"id": whole(a.ID), "command": a.Kind, "status": map[string]string{"running": "running", "done": "success", "failed": "error"}[a.State],
		"progress": 50, "started": "2025-01-30T23:55:00+00:00", "finished": nil, "resources": []any{map[string]any{"id": whole(a.On), "type": "server"}}, "error": nil}
	if a.State == "failed" {
		out["error"] = map[string]any{"code": "action_failed", "message": a.Error}
	}
	return out
}

func (f *fake) getAction(w http.ResponseWriter, r *http.Request) {
	a := f.Actions[r.PathValue("id")]
	if a == nil {
		refuse(w, 404, "not_found", "action not found")
		return
	}
	answer(w, 200, map[string]any{"action": action(a)})
}

func (f *fake) act(w http.ResponseWriter, r *http.Request) {
	m := f.Machines[r.PathValue("id")]
	if m == nil {
		refuse(w, 404, "not_found", "server not found")
		return
	}
	if m.Locked != "" {
		refuse(w, 423, "locked", "server is locked by action "+m.Locked)
		return
	}
	start := func(kind string, effect func() error) *cloudtest.Action {
		a := f.Begin(kind, m.ID, func() error { m.Locked = ""; return effect() })
		m.Locked = a.ID
		return a
	}
	var body struct {
		Type, Description string
		Labels            map[string]string
		Image             json.Number
	}
	_ = json.NewDecoder(r.Body).Decode(&body) // some verbs have none
	switch r.PathValue("verb") {
	case "create_image":
		f.createImage(w, m, body.Type, body.Description, body.Labels, start)
	case "poweroff":
		answer(w, 201, map[string]any{"action": action(start("stop_server", func() error { m.Stop(); return nil }))})
	case "poweron":
		answer(w, 201, map[string]any{"action": action(start("start_server", func() error { m.Start(); return nil }))})
	case "rebuild":
		image := f.Snaps[body.Image.String()]
		if f.protected {
			refuse(w, 403, "protected", "server is protected")
			return
		}
		if image == nil || image.State != "ready" {
			refuse(w, 404, "not_found", "image not found")
			return
		}
		m.Stop()
		a := start("rebuild_server", func() error { m.Disk = image.Contents; m.Start(); return nil })
		answer(w, 201, map[string]any{"action": action(a), "root_password": "never-shown"})
	default:
		refuse(w, 404, "not_found", "no such action")
	}
}

func (f *fake) createImage(w http.ResponseWriter, m *cloudtest.Machine, kind, description string, labels map[string]string, start func(string, func() error) *cloudtest.Action) {
	for _, v := range labels {
		if v != "" && !plainValue.MatchString(v) {
			refuse(w, 422, "invalid_input", "invalid label value "+v)
			return
		}
	}
	if kind != "snapshot" {
		refuse(w, 422, "invalid_input", "invalid type")
		return
	}
	if f.limit > 0 && len(f.Snaps) >= f.limit {
		refuse(w, 403, "resource_limit_exceeded", "image limit exceeded")
		return
	}
	s, _ := f.NewSnapshot(cloudtest.Snapshot{Of: m.ID, Contents: m.Disk, GiB: m.GiB, Tags: labels, Note: description})
	a := start("create_image", func() error { return nil })
	answer(w, 201, map[string]any{"action": action(a), "image": image(s)})
}

func image(s *cloudtest.Snapshot) map[string]any {
	status := map[string]string{"pending": "creating", "ready": "available", "failed": "unavailable"}[s.State]
	out := map[string]any{"id": whole(s.ID), "type": "snapshot", "status": status, "name": nil, "description": s.Note, "image_size": nil,
		"disk_size": s.GiB, "created": s.Created.Format("2006-01-02T15:04:05+00:00"), "created_from": map[string]any{"id": whole(s.Of), "name": "web"},
		"bound_to": nil, "os_flavor": "debian", "os_version": "12", "rapid_deploy": false, "protection": map[string]bool{"delete": false},
		"deprecated": nil, "deleted": nil, "labels": s.Tags, "architecture": "x86"}
	if s.State == "ready" {
		out["image_size"] = 2.5
	}
	return out
}

func (f *fake) listImages(w http.ResponseWriter, r *http.Request) {
	out := []any{}
	for _, s := range f.ListSnaps() {
		if matches(s.Tags, r.URL.Query().Get("label_selector")) {
			out = append(out, image(s))
		}
	}
	answer(w, 200, map[string]any{"images": out, "meta": page(len(out))})
}

// matches knows the two forms of a selector that the driver writes.
func matches(labels map[string]string, selector string) bool {
	for part := range strings.SplitSeq(selector, ",") {
		name, value, equal := strings.Cut(part, "=")
		got, ok := labels[name]
		if name != "" && (!ok || equal && got != value) {
			return false
		}
	}
	return true
}

func (f *fake) deleteImage(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if f.Snaps[id] == nil {
		refuse(w, 404, "not_found", "image not found")
		return
	}
	if f.Snaps[id].State == "pending" {
		refuse(w, 423, "locked", "image is being created")
		return
	}
	delete(f.Snaps, id)
	w.WriteHeader(http.StatusNoContent)
}
