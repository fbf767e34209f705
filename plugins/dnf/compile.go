package dnf

import (
	"context"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpm"
)

// Compile writes the commands for a selection.
func (d *dnf) Compile(_ context.Context, s driver.Selection) (driver.Commands, error) {
	words, fresh, err := rpm.Words(s)
	if err != nil || len(words) == 0 {
		return driver.Commands{}, err
	}
	wait := s.LockWait
	if wait <= 0 {
		wait = d.LockWait
	}
	c := driver.Commands{
		Stage:  []driver.Command{d.transaction(stageTimeout+wait, wait, "stage", words...)},
		Apply:  []driver.Command{d.transaction(applyTimeout+wait, wait, "apply", words...)},
		Repair: []driver.Command{d.transaction(applyTimeout+wait, wait, "repair")},
	}
	if len(fresh) > 0 {
		c.Apply = append(c.Apply, d.transaction(probeTimeout+wait, wait, "dependency", fresh...))
	}
	c.Apply = append(c.Apply, d.Services.After())
	return c, nil
}
