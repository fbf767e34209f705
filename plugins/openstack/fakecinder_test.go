package openstack

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
)

func (f *fake) status(v *cloudtest.Volume) string {
	switch {
	case v.Note != "":
		return v.Note
	case v.Locked != "" && f.Actions[v.Locked].State == "running":
		return f.Actions[v.Locked].Kind
	case v.Machine != "":
		return "in-use"
	}
	return "available"
}

func (f *fake) volume(v *cloudtest.Volume) map[string]any {
	attachments := []any{}
	if v.Machine != "" {
		attachments = append(attachments, map[string]any{"server_id": v.Machine, "device": v.Device, "volume_id": v.ID, "attachment_id": v.ID})
	}
	return map[string]any{"id": v.ID, "name": v.Name, "status": f.status(v), "size": v.GiB, "metadata": v.Tags, "attachments": attachments,
		"availability_zone": "nova", "volume_type": "ssd", "created_at": "2026-01-01T00:00:00.000000", "bootable": "false", "multiattach": false}
}

func (f *fake) listVolumes(w http.ResponseWriter, _ *http.Request) {
	f.settle()
	out := []any{}
	for _, v := range f.ListVolumes() {
		out = append(out, f.volume(v))
	}
	answer(w, 200, map[string]any{"volumes": out})
}

func (f *fake) oneVolume(w http.ResponseWriter, r *http.Request) {
	f.settle()
	v := f.Volumes[r.PathValue("id")]
	switch {
	case v == nil:
		refuse(w, 404, "itemNotFound", "Volume "+r.PathValue("id")+" could not be found.")
	case r.Method == "PUT":
		v.Tags = texts(body(r)["volume"]["metadata"])
		answer(w, 200, map[string]any{"volume": f.volume(v)})
	case r.Method == "DELETE" && f.status(v) != "available":
		refuse(w, 400, "badRequest", "Invalid volume: Volume status must be available or error")
	case r.Method == "DELETE" && f.hasSnapshots(v.ID):
		refuse(w, 400, "badRequest", "Invalid volume: Volume status must be available or error and must not be migrating, attached, belong to a group, have snapshots or be awaiting a transfer.")
	case r.Method == "DELETE":
		delete(f.Volumes, v.ID)
		answer(w, 202, nil)
	default:
		answer(w, 200, map[string]any{"volume": f.volume(v)})
	}
}

func (f *fake) hasSnapshots(volume string) bool {
	for _, s := range f.Snaps {
		if s.Of == volume {
			return true
		}
	}
	return false
}

func (f *fake) createVolume(w http.ResponseWriter, r *http.Request) {
	b := body(r)["volume"]
	s := f.Snaps[fmt.Sprint(b["snapshot_id"])]
	if s == nil || s.State != "ready" {
		refuse(w, 400, "badRequest", "Invalid snapshot: Originating snapshot status must be one of available values")
		return
	}
	v := f.NewVolume(cloudtest.Volume{ID: f.newID(), Name: fmt.Sprint(b["name"]), Tags: texts(b["metadata"]), Note: f.broken}, s)
	v.Locked = f.Begin("creating", v.ID, func() error { return nil }).ID
	answer(w, 202, map[string]any{"volume": f.volume(v)})
}

func (f *fake) createSnapshot(w http.ResponseWriter, r *http.Request) {
	b := body(r)["snapshot"]
	v := f.Volumes[fmt.Sprint(b["volume_id"])]
	switch {
	case v == nil:
		refuse(w, 404, "itemNotFound", "Volume could not be found.")
	case f.limit > 0 && len(f.Snaps) >= f.limit:
		refuse(w, 413, "overLimit", "SnapshotLimitExceeded: Maximum number of snapshots allowed (10) exceeded")
	case v.Machine != "" && b["force"] != true:
		refuse(w, 400, "badRequest", "Invalid volume: Volume "+v.ID+" status must be available, but current status is: in-use.")
	default:
		s, _ := f.NewSnapshot(cloudtest.Snapshot{ID: f.newID(), Name: fmt.Sprint(b["name"]), Of: v.ID, Contents: v.Contents, GiB: v.GiB, Tags: texts(b["metadata"])})
		answer(w, 202, map[string]any{"snapshot": f.snapshot(s)})
	}
}

func (f *fake) snapshot(s *cloudtest.Snapshot) map[string]any {
	status := map[string]string{"pending": "creating", "ready": "available", "failed": "error"}[s.State]
	return map[string]any{"id": s.ID, "name": s.Name, "status": status, "size": s.GiB, "volume_id": s.Of, "metadata": s.Tags, "created_at": s.Created.Format("2006-01-02T15:04:05.000000")}
}

func (f *fake) listSnapshots(w http.ResponseWriter, _ *http.Request) {
	out := []any{}
	for _, s := range f.ListSnaps() {
		if f.Machines[s.Of] == nil {
			out = append(out, f.snapshot(s))
		}
	}
	answer(w, 200, map[string]any{"snapshots": out})
}

func (f *fake) listImages(w http.ResponseWriter, _ *http.Request) {
	out := []any{}
	for _, s := range f.ListSnaps() {
		if f.Machines[s.Of] == nil {
			continue
		}
		i := map[string]any{"id": s.ID, "name": s.Name, "status": map[string]string{"pending": "saving", "ready": "active", "failed": "killed"}[s.State], "size": s.GiB << 30,
			"visibility": "private", "created_at": s.Created.Format(time.RFC3339), "updated_at": s.Created.Format(time.RFC3339), "tags": []any{}}
		for k, v := range s.Tags {
			i[k] = v
		}
		out = append(out, i)
	}
	answer(w, 200, map[string]any{"images": out})
}

func (f *fake) deleteSnapshot(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if f.Snaps[id] == nil {
		refuse(w, 404, "itemNotFound", "Snapshot "+id+" could not be found.")
		return
	}
	delete(f.Snaps, id)
	answer(w, map[bool]int{true: 204, false: 202}[strings.HasPrefix(r.URL.Path, "/image")], nil)
}

// kept counts what bears a key.
func (f *fake) kept(key string) (snapshots, volumes int) {
	f.Look(func() {
		for _, s := range f.Snaps {
			if s.Tags[cloud.TagKey] == key {
				snapshots++
			}
		}
		for v := range maps.Values(f.Volumes) {
			if v.Tags[cloud.TagKey] == key {
				volumes++
			}
		}
	})
	return snapshots, volumes
}
