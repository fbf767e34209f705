package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/ncfleet/ncfleet/controller/report"
)

// manDocument names the manual pages that were written.
type manDocument struct {
	FormatVersion int      `json:"format_version"`
	Dir           string   `json:"dir"`
	Pages         []string `json:"pages"`
}

func manCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "man DIR", Short: "write the manual pages, one per command, for packages", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := manDocument{FormatVersion: 1, Dir: args[0], Pages: []string{}}
			if err := os.MkdirAll(d.Dir, 0o755); err != nil {
				return fmt.Errorf("cannot make the folder of the manual pages: %w", err)
			}
			for _, c := range described(cmd.Root()) {
				page, err := manPage(c)
				if err != nil {
					return err
				}
				name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
				if err := os.WriteFile(filepath.Join(d.Dir, name), page, 0o644); err != nil {
					return fmt.Errorf("cannot write a manual page: %w", err)
				}
				d.Pages = append(d.Pages, name)
			}
			a.say("%s written to %s", report.Plural(len(d.Pages), "page"), d.Dir)
			return a.print(d)
		}}
}

// described are the command and those below it that people call.
func described(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			list = append(list, described(sub)...)
		}
	}
	return list
}

// manDate is that of the pages: the same source gives the same pages. Packages
// set it by SOURCE_DATE_EPOCH, which the library reads by itself.
var manDate = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// manPage is one command's page. Its last sections come before SEE ALSO.
func manPage(c *cobra.Command) ([]byte, error) {
	header := &doc.GenManHeader{Section: "1", Source: "ncfleet " + version, Manual: "ncfleet"}
	if os.Getenv("SOURCE_DATE_EPOCH") == "" {
		header.Date = &manDate
	}
	c.DisableAutoGenTag = true
	c.InitDefaultHelpFlag()
	var b bytes.Buffer
	if err := doc.GenMan(c, header, &b); err != nil {
		return nil, fmt.Errorf("cannot make the manual page of %s: %w", c.CommandPath(), err)
	}
	var more strings.Builder
	codes := exits{exitOK: "its help was shown", exitUsage: everyExit[exitUsage]}
	if k, ok := contractOf(c); ok {
		codes = k.codes()
	}
	if !c.HasParent() {
		codes = allExits
	}
	more.WriteString(".SH EXIT STATUS\n")
	definitions(&more, codes.pairs())
	if !c.HasParent() {
		more.WriteString(".SH ENVIRONMENT\n")
		definitions(&more, manEnvironment)
		more.WriteString(".SH FILES\n")
		definitions(&more, manFiles)
	}
	page, seeAlso, found := bytes.Cut(b.Bytes(), []byte("\n.SH SEE ALSO\n"))
	out := append(slices.Clone(bytes.TrimRight(page, "\n")), '\n')
	out = append(out, more.String()...)
	if found {
		out = append(append(out, ".SH SEE ALSO\n"...), seeAlso...)
	}
	return ascii(out), nil
}

// ascii writes other characters as every formatter reads them.
func ascii(page []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(page) {
		if r < 128 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\[u%04X]", r)
		}
	}
	return b.Bytes()
}

// definitions writes pairs of a term and what it means.
func definitions(b *strings.Builder, pairs [][2]string) {
	for _, p := range pairs {
		fmt.Fprintf(b, ".TP\n\\fB%s\\fP\n%s\n", roff(p[0]), roff(p[1]))
	}
}

// roff escapes a text that begins a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

var manEnvironment = [][2]string{
	{"NO_COLOR", "when set, output has no colour, as with --no-color"},
	{"TERM", "\"dumb\" does the same"},
	{"NCFLEET_DRIVER_PATH", "folders, separated by colons, where drivers named ncfleet-driver-NAME are looked for first"},
	{"SSH_AUTH_SOCK", "the agent, where the inventory says that one is used"},
}

var manFiles = [][2]string{
	{"fleet.hcl", "the inventory, where --inventory names no other"},
	{".ncfleet/journal.db", "the journal: plans and events, only ever appended; lies beside the inventory, or in the folder of --state"},
	{".ncfleet/lock", "held by the one ncfleet that writes"},
	{".ncfleet/releases/", "verified release archives"},
	{"ncfleet.lock", "the drivers that were accepted, with their checksums; lies beside the inventory"},
	{"~/.ssh/known_hosts", "the hosts' keys, where the inventory names no other files"},
}
