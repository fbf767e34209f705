package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Reset makes the host anew, as up made it: its file system and its data disk
// are copies of the template again, its faults are undone and its images gone,
// its boots go on. It waits until the host works.
func (h *Host) Reset(ctx context.Context) error {
	if err := h.setFrozen(ctx, false); err != nil {
		return err
	}
	if err := h.Heal(ctx); err != nil {
		return err
	}
	if err := os.Remove(h.file("stage")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot take back what is offered to %s: %w", h.Name, err)
	}
	before, err := h.power()
	if err != nil {
		return err
	}
	if err := writeFile(h.file("reset"), nil, 0o600); err != nil {
		return fmt.Errorf("cannot reset %s: %w", h.Name, err)
	}
	if err := h.cyclePower(before); err != nil {
		return err
	}
	err = poll(ctx, hostLimit, "the new disks of "+h.Name, func() bool {
		p, err := h.power()
		return err == nil && p.Boots > before.Boots && p.State == powerOn
	})
	if err != nil {
		return err
	}
	if said, err := os.ReadFile(h.file("reset-failed")); err == nil {
		return fmt.Errorf("cannot reset %s: %s", h.Name, said)
	}
	return h.await(ctx)
}

// renew gives a host that is off other disks, when Reset or RestoreImage asked
// for it.
func (l *Lab) renew(ctx context.Context, h hostState) {
	l.answerRestore(ctx, h)
	if os.Remove(l.hostFile(h.Name, "reset")) != nil {
		return
	}
	_ = os.Remove(l.hostFile(h.Name, "reset-failed")) // mostly there is none
	if err := l.newDisks(ctx, h); err != nil {
		l.say("%s: %v", h.Name, err)
		_ = os.WriteFile(l.hostFile(h.Name, "reset-failed"), []byte(err.Error()), 0o600) // else Reset says that nothing came
	}
}

func (l *Lab) newDisks(ctx context.Context, h hostState) error {
	st, err := l.load()
	if err != nil {
		return err
	}
	if err := l.dropDisks(ctx, h); err != nil {
		return err
	}
	if err := os.RemoveAll(l.hostFile(h.Name, "images")); err != nil {
		return err
	}
	return l.disks(ctx, st, h)
}

// dropDisks removes the disks of a host that is off. One that is missing, or not
// mounted, was dropped before.
func (l *Lab) dropDisks(ctx context.Context, h hostState) error {
	for _, d := range []string{"srv", "root"} {
		dir := l.hostFile(h.Name, d)
		if _, err := tool(ctx, "mountpoint", "-q", dir); err != nil {
			continue
		}
		if _, err := tool(ctx, "umount", dir); err != nil {
			return err
		}
	}
	for _, d := range append([]string{"upper", "work"}, diskFiles...) {
		if err := os.RemoveAll(l.hostFile(h.Name, d)); err != nil {
			return err
		}
	}
	return nil
}
