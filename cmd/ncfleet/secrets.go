package main

import (
	"errors"
	"fmt"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
)

// checkSecrets reads every secret that the plan's hosts need before anything
// starts: one that is missing in the middle of a rollout leaves a host closed.
func checkSecrets(fleet *inventory.Fleet, p *plan.Plan) error {
	seen := map[inventory.Secret]bool{}
	var errs []error
	check := func(place string, s inventory.Secret) {
		if s == "" || seen[s] {
			return
		}
		seen[s] = true
		if _, err := secret(s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", place, err))
		}
	}
	for _, n := range fleet.Notify {
		place := "notify " + n.Kind + " " + n.Name
		check(place+", url", n.SecretURL)
		check(place+", key", n.Key)
		check(place+", password", n.Password)
	}
	for _, w := range p.Waves {
		for _, t := range w.Targets {
			h := fleet.Host(t.Host)
			if h == nil {
				errs = append(errs, fmt.Errorf("host %s is no longer in the inventory", t.Host))
				continue
			}
			check("host "+h.Name+", sudo_password", h.SSH.SudoPassword)
			check("host "+h.Name+", key_passphrase", h.SSH.KeyPassphrase)
			for _, j := range h.SSH.Jump {
				if j.Bastion != nil {
					check("bastion "+j.Bastion.Name+", key_passphrase", j.Bastion.SSH.KeyPassphrase)
				}
			}
			for _, i := range h.Instances {
				check("host "+h.Name+", nextcloud "+i.Name+", probe_password", i.ProbePassword)
			}
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("cannot start, nothing was done: %w", errors.Join(errs...))
	}
	return nil
}
