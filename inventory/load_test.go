package inventory_test

import (
	"fmt"
	"strings"

	"github.com/ncfleet/ncfleet/inventory"
)

func describeWaves(r inventory.Rollout) string {
	var out []string
	for _, w := range r.Waves {
		out = append(out, fmt.Sprintf("%s:%d", w.Name, len(w.Hosts)))
	}
	return strings.Join(out, " ")
}
