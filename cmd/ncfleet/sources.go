package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
)

// releases lists what the source offers between the oldest version seen and
// the goal; why is set when the source cannot be read.
func (w *world) releases(ctx context.Context, facts map[string]plan.Facts) (list []plan.Release, why string) {
	if w.source == nil {
		return nil, ""
	}
	lowest, goal := 1<<30, 0
	for _, f := range facts {
		for _, i := range f.Instances {
			if !i.Code.Zero() {
				lowest = min(lowest, i.Code.Major())
			}
		}
	}
	if v, err := nextcloud.ParseGoal(w.rollout.Core.To); err == nil {
		goal = v.Version.Major()
	}
	list, err := w.source.List(ctx, func(v nextcloud.Version) bool { return v.Major() >= lowest && v.Major() <= goal })
	if err != nil {
		return nil, err.Error()
	}
	return list, ""
}

// catalogue reads the app catalogue that the rollout names, in the form of the
// app store's apps.json.
func (w *world) catalogue(ctx context.Context) (map[string][]plan.AppRelease, error) {
	place := w.rollout.Apps.Catalogue
	if place == "" {
		return nil, nil
	}
	text, err := readPlace(ctx, place)
	if err != nil {
		return nil, fmt.Errorf("cannot read the app catalogue %s: %w", place, err)
	}
	var apps []struct {
		ID       string `json:"id"`
		Releases []struct {
			Version  string `json:"version"`
			Nightly  bool   `json:"isNightly"`
			Platform string `json:"rawPlatformVersionSpec"`
			PHP      string `json:"rawPhpVersionSpec"`
		} `json:"releases"`
	}
	if err := json.Unmarshal(text, &apps); err != nil {
		return nil, fmt.Errorf("cannot read the app catalogue %s: %w", place, err)
	}
	out := make(map[string][]plan.AppRelease, len(apps))
	for _, app := range apps {
		for _, r := range app.Releases {
			minNC, maxNC := specBounds(r.Platform)
			minPHP, maxPHP := specBounds(r.PHP)
			out[app.ID] = append(out[app.ID], plan.AppRelease{Version: r.Version, MinNextcloud: minNC, MaxNextcloud: maxNC,
				MinPHP: minPHP, MaxPHP: maxPHP, Nightly: r.Nightly})
		}
	}
	return out, nil
}

// specBounds reads the app store's version specs, ">=28 <=30" or "*".
func specBounds(spec string) (low, high string) {
	for _, f := range strings.Fields(strings.ReplaceAll(spec, ",", " ")) {
		if v, ok := strings.CutPrefix(f, ">="); ok {
			low = v
		}
		if v, ok := strings.CutPrefix(f, "<="); ok {
			high = v
		}
	}
	return low, high
}

// readPlace reads a file or URL of at most 256 MiB.
func readPlace(ctx context.Context, place string) ([]byte, error) {
	const limit = 256 << 20
	if !strings.HasPrefix(place, "http://") && !strings.HasPrefix(place, "https://") {
		f, err := os.Open(place)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, limit))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, limit))
}
