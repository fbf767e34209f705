package main

import (
	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/report"
)

func validateCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "validate", Short: "check the inventory; contacts no host", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.validate() }}
}

// validationDocument says whether the inventory is valid.
type validationDocument struct {
	FormatVersion int  `json:"format_version"`
	Valid         bool `json:"valid"`
	// Hosts, Instances and Rollouts are counted in a valid inventory only.
	Hosts       int                  `json:"hosts"`
	Instances   int                  `json:"instances"`
	Rollouts    int                  `json:"rollouts"`
	Diagnostics []diagnosticDocument `json:"diagnostics"`
}

// diagnosticDocument is one problem in the inventory's files.
type diagnosticDocument struct {
	Severity string `json:"severity" jsonschema:"enum=error,enum=warning"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"`
	File     string `json:"file,omitempty"`
	// Line is missing when the problem concerns the file as a whole.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

func (a *app) validate() error {
	fleet, diags, err := a.readInventory()
	if err != nil {
		return err
	}
	v := validationDocument{FormatVersion: 1, Valid: !diags.HasErrors(), Diagnostics: []diagnosticDocument{}}
	for _, d := range diags {
		v.Diagnostics = append(v.Diagnostics, diagnosticDocument{string(d.Severity), d.Summary, d.Detail, d.File, d.Line, d.Col})
	}
	if !v.Valid {
		if err := a.print(v); err != nil {
			return err
		}
		return &exitCode{exitError, ""}
	}
	v.Hosts, v.Rollouts = len(fleet.Hosts), len(fleet.Rollouts)
	for _, h := range fleet.Hosts {
		v.Instances += len(h.Instances)
	}
	a.say("%s, %s, %s: valid", report.Plural(v.Hosts, "host"), report.Plural(v.Instances, "instance"), report.Plural(v.Rollouts, "rollout"))
	return a.print(v)
}
