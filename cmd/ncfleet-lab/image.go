package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
)

// imageVerb is a verb that takes a host and the name of an image.
func (a *app) imageVerb(use, short, long string, do func(ctx context.Context, h *lab.Host, name string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, h, err := a.host(args[0])
			if err != nil {
				return err
			}
			did, err := do(cmd.Context(), h, args[1])
			if err == nil {
				fmt.Fprintln(a.stdout, did)
			}
			return err
		},
	}
}

func imageCommand(a *app) *cobra.Command {
	return a.imageVerb("image HOST NAME", "keep all disks of the host, as a cloud's snapshot of a machine does",
		`image keeps the host's file system and its data disk under a name, beside the host. The host stands still for
the second or two that it takes, so that all of it shows one moment. reset and down remove images.`,
		func(ctx context.Context, h *lab.Host, name string) (string, error) {
			return fmt.Sprintf("the disks of %s are kept; back to them: ncfleet-lab%s restore-image %s %s", h.Name, a.flags(), h.Name, name), h.Image(ctx, name, nil)
		})
}

func restoreImageCommand(a *app) *cobra.Command {
	return a.imageVerb("restore-image HOST NAME", "cut the host's power, put its disks back from an image, switch it on",
		`restore-image loses everything that was written since the image was made. The host boots as after a power cut
at that moment: another boot id, the same address and host key. The image stays.`,
		func(ctx context.Context, h *lab.Host, name string) (string, error) {
			if err := h.RestoreImage(ctx, name); err != nil {
				return "", err
			}
			if err := h.AwaitSSH(ctx); err != nil {
				return "", err
			}
			id, err := h.BootID(ctx)
			return fmt.Sprintf("%s has its disks of the image %s; its boot id is %s", h.Name, name, id), err
		})
}
