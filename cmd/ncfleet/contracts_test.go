package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
)

// everyCommand are all commands that do something by themselves.
func everyCommand() []*cobra.Command {
	var walk func(c *cobra.Command) []*cobra.Command
	walk = func(c *cobra.Command) []*cobra.Command {
		var list []*cobra.Command
		for _, sub := range c.Commands() {
			list = append(list, walk(sub)...)
		}
		if _, group := c.Annotations[groupNote]; !group && !servesOthers(c) {
			list = append(list, c)
		}
		return list
	}
	return walk(rootCommand(&app{stdout: io.Discard, stderr: io.Discard}))
}

// servesOthers are the commands that no person and no script calls: ncfleet
// starts its drivers by the one, shells complete words by the others.
func servesOthers(c *cobra.Command) bool {
	return slices.Contains([]string{"ncfleet driver serve", "ncfleet __complete", "ncfleet help"}, c.CommandPath())
}

// TestEveryCommandHasAContract walks the commands and compares them with the
// table of contracts.
func TestEveryCommandHasAContract(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, c := range everyCommand() {
		name := strings.TrimPrefix(c.CommandPath(), "ncfleet ")
		known[name] = true
		k, ok := contractOf(c)
		if !ok {
			t.Errorf("the command %q has no contract: add a line {command: %q, json: []string{\"DOCUMENT\"}, exits: exits{…}} to contracts in cmd/ncfleet/contracts.go, "+
				"its document with its type to documents in cmd/ncfleet/documents.go, write its schema by: go test ./cmd/ncfleet -run TestSchemas -update, "+
				"and show its documents and exit codes in TestEveryExitCode of cmd/ncfleet/exits_test.go", name, name)
			continue
		}
		for _, kind := range append(slices.Clone(k.json), k.ndjson...) {
			if _, ok := documentNamed(kind); !ok && kind != schemaFile {
				t.Errorf("the contract of %q names the document %q, which documents.go does not have", name, kind)
			}
		}
		var help strings.Builder
		c.SetOut(&help)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		last := k.codes().pairs()
		if want := "  " + last[len(last)-1][0] + "  " + last[len(last)-1][1]; !strings.HasSuffix(strings.TrimRight(help.String(), "\n"), want) {
			t.Errorf("the help of %q does not end with its exit codes:\n%s", name, help.String())
		}
	}
	for _, k := range contracts {
		if !known[k.command] {
			t.Errorf("there is no command %q: take its line out of contracts.go", k.command)
		}
		for code := range k.codes() {
			if allExits[code] == "" {
				t.Errorf("the exit code %d of %q is not among allExits", code, k.command)
			}
		}
	}
	var used []string
	for _, k := range contracts {
		used = append(append(used, k.json...), k.ndjson...)
	}
	for _, d := range documents {
		if !slices.Contains(used, d.name) && d.name != "notification" {
			t.Errorf("no contract names the document %q", d.name)
		}
	}
}

// seen is what command lines were seen to do.
type seen struct {
	mu        sync.Mutex
	exits     map[string]map[int]bool    // by command
	documents map[string]map[string]bool // by command and form: "plan json"
}

// run notes one run.
func (s *seen) run(command string, code int, form string, kinds []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exits[command] == nil {
		s.exits[command] = map[int]bool{}
	}
	s.exits[command][code] = true
	if s.documents[command+" "+form] == nil {
		s.documents[command+" "+form] = map[string]bool{}
	}
	for _, k := range kinds {
		s.documents[command+" "+form][k] = true
	}
}

// keepsContract checks what one run of a command line did against the contract
// of its command: the exit code, and each document against its schema.
func keepsContract(t *testing.T, args []string, code int, stdout, stderr string) (command, form string, kinds []string) {
	t.Helper()
	c, _, err := rootCommand(&app{stdout: io.Discard, stderr: io.Discard}).Find(args)
	if err != nil {
		t.Errorf("%v: %v", args, err)
		return "", "", nil
	}
	k, ok := contractOf(c)
	if !ok {
		return "", "", nil // a group, or one that TestEveryCommandHasAContract complains of
	}
	if _, ok := k.codes()[code]; !ok {
		t.Errorf("%v ended with %d, which the contract of %q does not know\n%s", args, code, k.command, stderr)
	}
	form = outputText
	for i, a := range args {
		if a == "--output" && i+1 < len(args) {
			form = args[i+1]
		}
	}
	allowed := k.json
	switch {
	case form == outputNDJSON:
		allowed = k.lines()
	case form != outputJSON:
		return k.command, form, nil
	}
	if len(allowed) == 0 {
		return k.command, form, nil // a script for the shell
	}
	d := json.NewDecoder(strings.NewReader(stdout))
	for d.More() {
		var text json.RawMessage
		if err := d.Decode(&text); err != nil {
			t.Errorf("%v prints what is no JSON: %v\n%s", args, err, stdout)
			break
		}
		kind, err := oneOf(text, allowed)
		if err != nil {
			t.Errorf("%v prints what is none of its documents %v: %v\n%.4000s", args, allowed, err, text)
		}
		kinds = append(kinds, kind)
	}
	failed := code == exitError || code == exitUsage || code == exitLocked
	switch {
	case form == outputJSON && len(kinds) > 1:
		t.Errorf("%v prints %d documents with --output json", args, len(kinds))
	case form == outputJSON && len(kinds) == 0 && !failed:
		t.Errorf("%v ends with %d and prints no document", args, code)
	case form == outputNDJSON && strings.Count(stdout, "\n") != len(kinds):
		t.Errorf("%v prints %d lines for %d documents", args, strings.Count(stdout, "\n"), len(kinds))
	}
	return k.command, form, kinds
}

// readmeTable is the README's table of commands.
func readmeTable() string {
	var b strings.Builder
	b.WriteString("| Command | Documents | Lines | Exit codes |\n|---|---|---|---|\n")
	names := func(list []string) string {
		var out []string
		for _, n := range list {
			out = append(out, "`"+strings.Replace(n, schemaFile, "a schema", 1)+"`")
		}
		return strings.ReplaceAll(strings.Join(out, ", "), "`a schema`", "a schema")
	}
	for _, k := range contracts {
		var codes []string
		for _, p := range k.codes().pairs() {
			codes = append(codes, p[0])
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.command, names(k.json), names(k.ndjson), strings.Join(codes, " "))
	}
	return b.String()
}

// TestReadmeTellsContracts compares the README with the table of contracts;
// -update writes it anew.
func TestReadmeTellsContracts(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../../README.md", "<!-- commands -->\n", "<!-- end commands -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("the README has no place for the commands: %q and %q", begin, end)
	}
	if table == readmeTable() {
		return
	}
	if !*update {
		t.Fatal("the README's table of commands is not that of contracts.go; write it anew with: go test ./cmd/ncfleet -run TestReadmeTellsContracts -update")
	}
	if err := os.WriteFile(file, []byte(before+begin+readmeTable()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
