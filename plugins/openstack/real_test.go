package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

// real is a Keystone and a Cinder that somebody runs, beside the fake's Nova
// and Glance, which attach the real Cinder's volumes. Cinder's stand-in for a
// storage keeps no contents, so the world follows what a disk would hold.
type real struct {
	scene
	p      *provider // for the test itself
	config driver.Config
}

func newReal(t *testing.T) *real {
	t.Helper()
	auth := os.Getenv("NCFLEET_OPENSTACK_AUTH_URL")
	if auth == "" {
		t.Skip("no NCFLEET_OPENSTACK_AUTH_URL (with NCFLEET_OPENSTACK_ID and _SECRET, an application credential): no real Keystone and Cinder is tried")
	}
	r := &real{scene: newScene(t)}
	r.config = driver.Config{"auth_url": auth, "application_credential_id": os.Getenv("NCFLEET_OPENSTACK_ID"), "application_credential_secret": os.Getenv("NCFLEET_OPENSTACK_SECRET"),
		"compute_endpoint": r.URL + "/compute/v2.1", "image_endpoint": r.URL + "/image", "poll": "300ms", "wait": "5m"}
	p, err := connect(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	r.p = p.(*provider)
	follow := httptest.NewServer(r.follow(r.p.volume.Endpoint))
	t.Cleanup(follow.Close)
	r.config["volume_endpoint"] = follow.URL
	r.Look(func() { r.cinder = r.action })
	r.replaceVolume(t)
	return r
}

// replaceVolume puts a real volume in the place of the server's data volume.
func (r *real) replaceVolume(t *testing.T) {
	t.Helper()
	v, err := volumes.Create(t.Context(), r.p.volume, volumes.CreateOpts{Size: 1, Name: "cloud-07-data"}, nil).Extract()
	if err != nil {
		t.Fatal(err)
	}
	for status := v.Status; status != "available"; time.Sleep(200 * time.Millisecond) {
		got, err := r.p.readVolume(t.Context(), v.ID)
		if err != nil || got.Status == "error" {
			t.Fatalf("the first volume is %s, error %v", got.Status, err)
		}
		status = got.Status
	}
	if err := r.action(v.ID, "os-attach", map[string]any{"instance_uuid": r.id, "mountpoint": "/dev/vdb", "mode": "rw"}); err != nil {
		t.Fatal(err)
	}
	r.Look(func() {
		delete(r.Volumes, r.Machines[r.id].Attached["/dev/vdb"])
		delete(r.Machines[r.id].Attached, "/dev/vdb")
	})
	r.AddVolume(cloudtest.Volume{ID: v.ID, Name: v.Name, Contents: "cloud-07 data", GiB: 1, Machine: r.id, Device: "/dev/vdb"})
	t.Cleanup(func() {
		for _, id := range r.Machines[r.id].Attached {
			_ = r.action(id, "os-detach", map[string]any{})
			_ = volumes.Delete(context.Background(), r.p.volume, id, volumes.DeleteOpts{}).ExtractErr()
		}
	})
}

// action is what Nova asks of Cinder.
func (r *real) action(volume, name string, arguments map[string]any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, _ := json.Marshal(map[string]any{name: arguments})
	request, err := http.NewRequestWithContext(ctx, "POST", r.p.volume.ServiceURL("volumes", volume, "action"), strings.NewReader(string(b)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Auth-Token", r.p.volume.Token())
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode >= 300 {
		return fmt.Errorf("%s of volume %s: %d: %s", name, volume, answer.StatusCode, text)
	}
	return nil
}

// follow passes requests on to the real Cinder, and keeps what they do to
// contents.
func (r *real) follow(endpoint string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		asked, _ := io.ReadAll(in.Body)
		out, err := http.NewRequestWithContext(in.Context(), in.Method, strings.TrimSuffix(endpoint, "/")+in.URL.RequestURI(), strings.NewReader(string(asked)))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		out.Header = in.Header.Clone()
		answer, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		if in.Method == "POST" && answer.StatusCode < 300 {
			r.Look(func() { r.learn(text) })
		}
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(text)
	})
}

func (r *real) learn(answer []byte) {
	var made map[string]map[string]any
	if json.Unmarshal(answer, &made) != nil {
		return
	}
	if s := made["snapshot"]; s != nil {
		of := fmt.Sprint(s["volume_id"])
		r.World.Snaps[fmt.Sprint(s["id"])] = &cloudtest.Snapshot{ID: fmt.Sprint(s["id"]), Of: of, Contents: r.Volumes[of].Contents}
	}
	if v := made["volume"]; v != nil {
		from := r.World.Snaps[fmt.Sprint(v["snapshot_id"])]
		r.Volumes[fmt.Sprint(v["id"])] = &cloudtest.Volume{ID: fmt.Sprint(v["id"]), Contents: from.Contents, GiB: 1}
	}
}

// TestRealCinder runs the whole contract against a real Keystone and Cinder.
func TestRealCinder(t *testing.T) {
	r := newReal(t)
	drivertest.Snapshotter(t, drivertest.Snapshots{New: inProcess, Config: r.config, Subject: r.subject, Runner: r.host,
		Change: func(*testing.T) { r.World.Change(r.id) }, State: func(*testing.T) string { return r.World.State(r.id) },
		KeyPrefix: fmt.Sprintf("real-%d/", time.Now().UnixNano())})
	snapshots, err := r.p.snapshots(t.Context())
	if err != nil || len(snapshots) > 0 {
		t.Errorf("%d snapshots are left in Cinder, error %v", len(snapshots), err)
	}
	left, err := r.p.listVolumes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range left {
		t.Logf("in Cinder at the end: volume %s is %s, metadata %v", v.ID, v.Status, v.Metadata)
		if v.Status == "available" {
			t.Errorf("volume %s is left behind", v.ID)
		}
	}
}
