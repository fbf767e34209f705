package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestEverythingNamedIsCompleted walks the commands: what names a host, a
// rollout, a target, a wave, a snapshot or a driver is completed.
func TestEverythingNamedIsCompleted(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`\b(HOST|ROLLOUT|ROLLOUT-ID|TARGET|WAVE|KEY|DRIVER|SCHEMA)\b`)
	words := (&app{}).flagWords()
	for _, c := range everyCommand() {
		if named.MatchString(c.Use) && c.ValidArgsFunction == nil {
			t.Errorf("%q takes %s, which the shell cannot complete: add it to argumentWords in complete.go", c.CommandPath(), named.FindString(c.Use))
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(f)
			_, known := words[f.Name]
			if _, ok := c.GetFlagCompletionFunc(f.Name); !ok && (known || named.MatchString(strings.ToUpper(f.Name)) && value != "") {
				t.Errorf("%q has --%s, which the shell cannot complete: add it to flagWords in complete.go", c.CommandPath(), f.Name)
			}
		})
	}
}
