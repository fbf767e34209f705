package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// leastDigest is how many characters of a plan's digest tell it from others.
const leastDigest = 6

var (
	personPattern = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,63}$`)
	digestPattern = regexp.MustCompile(fmt.Sprintf("^[0-9a-f]{%d,64}$", leastDigest))
)

func approveCommand(a *app) *cobra.Command {
	var wave bool
	var digest, as string
	c := requestCommand(a, "approve TARGET", "let a held target go on, accept one that failed after opening, or (--wave) let a wave start",
		func(s *rollout.State, args []string) (rollout.Event, error) {
			e := rollout.Event{Kind: rollout.EventApproved}
			if as != "" {
				if !personPattern.MatchString(as) {
					return e, &exitCode{exitUsage, fmt.Sprintf("error: --as %q is no person's name: write letters, digits, spaces and . _ @ -, at most 64", as)}
				}
				e.Who = as + " (" + who() + ")"
			}
			if !wave {
				if digest != "" {
					return e, &exitCode{exitUsage, "error: --digest belongs to the approval of a wave; write --wave too"}
				}
				e.Target = args[0]
				return e, nil
			}
			e.Wave = args[0]
			var err error
			e.Digest, err = planApproved(s, digest)
			return e, err
		}, cobra.ExactArgs(1))
	c.Long = `approve lets a held target go on, accepts one that failed after opening, or
(with --wave) lets a wave start.

A wave that asks for several approvals needs them from different people. A
person is a login name here, whatever the machine; where people share an
account, --as NAME says who it is. It is believed, and the account is written
beside it. An approval may be given before the wave is due. It is for the plan
of that rollout alone: --digest refuses it when that is another one than you
have read.`
	c.Flags().BoolVar(&wave, "wave", false, "the name is a wave's")
	c.Flags().StringVar(&digest, "digest", "", "the plan that you approve, as ncfleet plan shows it")
	c.Flags().StringVar(&as, "as", "", "who approves, where people share an account")
	return c
}

// planApproved is the digest of the rollout's plan, when it is the one meant.
func planApproved(s *rollout.State, meant string) (string, error) {
	meant = strings.ToLower(meant)
	switch {
	case meant == "":
		return s.Digest, nil
	case !digestPattern.MatchString(meant):
		return "", &exitCode{exitUsage, fmt.Sprintf("error: --digest takes the plan's digest, or at least its first %d characters", leastDigest)}
	case strings.HasPrefix(s.Digest, meant):
		return s.Digest, nil
	}
	return meant, nil // refused, and why is told, by who knows the rules
}

// stands reads how the rollout stands that the arguments name, or the newest.
func (a *app) stands(names []string) (string, *rollout.State, error) {
	j, err := a.read()
	if err != nil {
		return "", nil, err
	}
	id, s, _, err := standing(j, names)
	return id, s, errors.Join(err, j.Close())
}

// approvalsLeft says how many people must still approve a wave, "" when none.
func (a *app) approvalsLeft(id string, e rollout.Event) string {
	if e.Kind != rollout.EventApproved || e.Wave == "" {
		return ""
	}
	_, s, err := a.stands([]string{id})
	if err != nil {
		return "" // it was taken; status tells the rest
	}
	for i := range s.Plan.Waves {
		if w := &s.Plan.Waves[i]; w.Name == e.Wave && w.Needs() > 1 {
			given := len(s.Waves[i].Approvals)
			text := fmt.Sprintf(", %d of %d approvals", given, w.Needs())
			if given < w.Needs() {
				text += "; somebody else must approve too"
			}
			return text
		}
	}
	return ""
}
