package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
)

// groupNote is the annotation of a command that only holds others.
const groupNote = "group"

// usage prepares a command and those below it: wrong arguments and unknown
// verbs are errors of usage, told with what to write instead.
func usage(c *cobra.Command) {
	for _, sub := range c.Commands() {
		usage(sub)
	}
	c.SuggestionsMinimumDistance = 2
	if c.HasSubCommands() && !c.Runnable() {
		c.Annotations = map[string]string{groupNote: ""}
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		}
		return
	}
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return wrongArguments(cmd, args)
		}
		return nil
	}
}

func unknownVerb(c *cobra.Command, verb string) error {
	text := fmt.Sprintf("error: %s has no command %q", c.CommandPath(), verb)
	if near := c.SuggestionsFor(verb); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	} else {
		var names []string
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		text += "; it has " + strings.Join(names, ", ")
	}
	return &exitCode{exitUsage, text + "\nsee: " + c.CommandPath() + " --help"}
}

func wrongArguments(c *cobra.Command, args []string) error {
	_, wants, _ := strings.Cut(c.Use, " ")
	if wants == "" {
		wants = "no argument"
	}
	got := "none was given"
	if len(args) > 0 {
		got = fmt.Sprintf("given: %s", strings.Join(args, " "))
	}
	return &exitCode{exitUsage, fmt.Sprintf("error: %s takes %s; %s\nusage: %s\nsee: %s --help",
		c.CommandPath(), wants, got, c.UseLine(), c.CommandPath())}
}

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "which ncfleet this is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d := versionDocument{FormatVersion: 1, Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if a.json() {
				return a.print(d)
			}
			a.say("ncfleet %s (%s, %s)", d.Version, d.Go, d.Platform)
			return nil
		}}
}

// versionDocument says which ncfleet this is.
type versionDocument struct {
	FormatVersion int    `json:"format_version"`
	Version       string `json:"version"`
	// Go is the version of Go that it was built with.
	Go       string `json:"go"`
	Platform string `json:"platform"`
}
