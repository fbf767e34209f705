package executor

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// damaged is a release that does not pass the controller's own check.
type damaged struct{}

func (damaged) Open(context.Context, plan.Release) (string, string, int64, func() (io.ReadCloser, error), error) {
	return "", "", 0, nil, errors.New("its files differ from what was signed")
}

func TestFetchIsVerifiedHereFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec.Releases = damaged{}
	args := append(b.base(), b.stageArgs("/nowhere/x.tar.bz2", strings.Repeat("0", 128))...)
	args[slices.Index(args, "--fetch")+1] = "https://mirror.example.org/x.tar.bz2"
	args[slices.Index(args, "--staged")+1] = b.staged + "-of-nobody"
	s := plan.Step{ID: "canary/cloud-07/stage", Kind: plan.KindStage, Host: "cloud-07", Instance: "files", Script: "stage.sh",
		Args: args, Release: &plan.Release{Name: "x.tar.bz2", SHA512: strings.Repeat("0", 128)}}
	o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory)
	if o.Status != Failed || !strings.Contains(o.Detail, "differ from what was signed") || len(b.machine.started) != 0 {
		t.Errorf("%s: %s; runs on the host %v", o.Status, o.Detail, b.machine.started)
	}
}
