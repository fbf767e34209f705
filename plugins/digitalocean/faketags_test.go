package digitalocean

import (
	"encoding/json"
	"net/http"
)

func (f *fake) getTag(w http.ResponseWriter, r *http.Request) {
	tag := r.PathValue("tag")
	if !f.tags[tag] {
		refuse(w, 404, "The resource you were accessing could not be found.")
		return
	}
	n := 0
	for _, v := range f.Volumes {
		if _, ok := v.Tags[tag]; ok {
			n++
		}
	}
	for _, s := range f.Snaps {
		if _, ok := s.Tags[tag]; ok {
			n++
		}
	}
	answer(w, 200, map[string]any{"tag": map[string]any{"name": tag, "resources": map[string]any{"count": n}}})
}

func (f *fake) createTag(w http.ResponseWriter, r *http.Request) {
	var body struct{ Name string }
	if json.NewDecoder(r.Body).Decode(&body) != nil || !tagName.MatchString(body.Name) {
		refuse(w, 422, "invalid tag")
		return
	}
	f.tags[body.Name] = true
	answer(w, 201, map[string]any{"tag": map[string]any{"name": body.Name}})
}

func (f *fake) deleteTag(w http.ResponseWriter, r *http.Request) {
	delete(f.tags, r.PathValue("tag"))
	answer(w, 204, nil)
}

func (f *fake) tagVolumes(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Resources []struct {
			ID   string `json:"resource_id"`
			Type string `json:"resource_type"`
		}
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil || !f.tags[r.PathValue("tag")] {
		refuse(w, 404, "The resource you were accessing could not be found.")
		return
	}
	for _, res := range body.Resources {
		v := f.Volumes[res.ID]
		if v == nil || res.Type != "volume" {
			refuse(w, 422, "no such resource")
			return
		}
		if r.Method == "POST" {
			v.Tags[r.PathValue("tag")] = ""
		} else {
			delete(v.Tags, r.PathValue("tag"))
		}
	}
	answer(w, 204, nil)
}
