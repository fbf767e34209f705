package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// schemaFiles are the published schemas, made from the documents' types.
//
//go:embed schema/*.schema.json
var schemaFiles embed.FS

// schemaFile is the kind of document that is a schema itself.
const schemaFile = "schema-file"

// schemaID identifies a document's schema; the number is the format version.
func schemaID(name string) string { return "urn:ncfleet:" + name + ":1" }

// schemasDocument is the schemas that ncfleet ships.
type schemasDocument struct {
	FormatVersion int              `json:"format_version"`
	Schemas       []schemaDocument `json:"schemas"`
}

// schemaDocument is one schema that ncfleet ships.
type schemaDocument struct {
	FormatVersion int    `json:"format_version"`
	Name          string `json:"name"`
	Title         string `json:"title"`
	// ID is the schema's $id.
	ID string `json:"id"`
}

func schemaCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "schema [NAME]", Short: "the JSON schema of a document that commands print with --output json; without a name, which there are",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listSchemas()
			}
			return a.showSchema(args[0])
		}}
}

func (a *app) listSchemas() error {
	all := schemasDocument{FormatVersion: 1, Schemas: []schemaDocument{}}
	for _, d := range documents {
		all.Schemas = append(all.Schemas, schemaDocument{1, d.name, d.title, schemaID(d.name)})
	}
	if a.json() {
		return printList(a, all, all.Schemas)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	for _, s := range all.Schemas {
		fmt.Fprintf(w, "%s\t%s\n", s.Name, s.Title)
	}
	return w.Flush()
}

func (a *app) showSchema(name string) error {
	if _, ok := documentNamed(name); !ok {
		return &exitCode{exitUsage, fmt.Sprintf("error: there is no schema %q; there are %s", name, strings.Join(schemaNames(), ", "))}
	}
	text, err := schemaFiles.ReadFile("schema/" + name + ".schema.json")
	if err != nil {
		return fmt.Errorf("cannot read schema %s: %w", name, err)
	}
	if a.output == outputNDJSON {
		return a.print(json.RawMessage(text))
	}
	_, err = a.stdout.Write(text)
	return err
}

func schemaNames() []string {
	var names []string
	for _, d := range documents {
		names = append(names, d.name)
	}
	return names
}
