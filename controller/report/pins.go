package report

import (
	"maps"
	"slices"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// PinsDocument is fleet.lock for programs.
type PinsDocument struct {
	FormatVersion int          `json:"format_version"`
	Rollouts      []PinnedView `json:"rollouts"`
}

// PinnedView is one rollout's pins, with the fields that they have in the file.
type PinnedView struct {
	Rollout string `json:"rollout"`
	plan.Pinned
}

// PinsJSON is the pins of that rollout, "" for all.
func PinsJSON(l plan.Lock, name string) PinsDocument {
	v := PinsDocument{FormatVersion: formatVersion, Rollouts: []PinnedView{}}
	for _, r := range slices.Sorted(maps.Keys(l.Rollouts)) {
		if name == "" || r == name {
			v.Rollouts = append(v.Rollouts, PinnedView{r, l.Rollouts[r]})
		}
	}
	return v
}

// pinView says by what a plan's versions are bound.
type pinView struct {
	Wave string `json:"wave"`
	// RolloutID names the rollout whose pins in fleet.lock bind the plan; without
	// it the first wave runs new versions, which become the pins.
	RolloutID string `json:"rollout_id,omitempty"`
}

func viewPin(p *plan.Pinning) *pinView {
	if p == nil {
		return nil
	}
	v := &pinView{Wave: p.Wave}
	if p.Lock != nil {
		v.RolloutID = p.Lock.RolloutID
	}
	return v
}

func pinned(pg *page, p *plan.Pinning) {
	switch {
	case p == nil:
	case p.Lock != nil:
		pg.item(2, 17, "", "pins", "the versions of "+plan.LockName+", as wave "+p.Lock.Wave+" of "+p.Lock.RolloutID+" ran them, and no others")
	default:
		pg.item(2, 17, "", "pins", "new: later waves get what wave "+p.Wave+" gets; once that has passed it is written to "+plan.LockName)
	}
}
