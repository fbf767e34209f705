package exporter

import (
	"io"
	"maps"
	"regexp"
	"slices"

	"github.com/ncfleet/ncfleet/inventory"
)

// Target is one entry of Prometheus' file_sd: one site, to be asked by a
// blackbox exporter.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

var notInLabelName = regexp.MustCompile(`[^A-Za-z0-9_]`)

// Prometheus writes every instance's address for file_sd. Labels of the host
// keep their name behind fleet_, so that none takes the place of Prometheus'
// own; of two that would be called alike, the first by name stays.
func Prometheus(w io.Writer, fleet *inventory.Fleet) error {
	list := []Target{}
	for i := range fleet.Hosts {
		h := &fleet.Hosts[i]
		for _, n := range h.Instances {
			labels := map[string]string{"fleet_host": h.Name, "fleet_instance": n.Name}
			for _, k := range slices.Sorted(maps.Keys(h.Labels)) {
				name := "fleet_label_" + notInLabelName.ReplaceAllString(k, "_")
				if _, taken := labels[name]; !taken {
					labels[name] = h.Labels[k]
				}
			}
			list = append(list, Target{Targets: []string{n.URL}, Labels: labels})
		}
	}
	return encode(w, list)
}
