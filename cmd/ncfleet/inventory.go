package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/inventory/importer"
)

func inventoryCommand(a *app) *cobra.Command {
	var o importer.Options
	imports := &cobra.Command{Use: "import", Short: "write an inventory from another tool's; prints it"}
	c := &cobra.Command{Use: "inventory", Short: "look at the inventory, take one over from another tool, write it for one"}
	ansible := &cobra.Command{Use: "ansible FILE|FOLDER", Short: "from an Ansible inventory: INI, YAML, or the JSON of ansible-inventory --list", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			inv, err := importer.Ansible(args[0])
			return a.imported(inv, err, o)
		}}
	ssh := &cobra.Command{Use: "ssh-config [FILE]", Short: "from an ssh_config, as ssh -G reads it; the user's own by default", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inv, err := importSSH(cmd.Context(), args)
			return a.imported(inv, err, o)
		}}
	for _, sub := range []*cobra.Command{ansible, ssh} {
		f := sub.Flags()
		f.StringVar(&o.Path, "path", "", `give hosts an instance with this code tree, such as /var/www/nextcloud; "{name}" stands for the host's name`)
		f.StringVar(&o.URL, "url", "", `its address, such as "https://{name}.example.org"; goes with --path`)
		f.StringVar(&o.Only, "only", "", "only the hosts of this group get an instance")
		imports.AddCommand(sub)
	}
	c.AddCommand(imports, listCommand(a), showCommand(a), graphCommand(a), exportCommand(a), inventorySchemaCommand(a))
	return c
}

func importSSH(ctx context.Context, args []string) (importer.Inventory, error) {
	if len(args) == 1 {
		return importer.SSHConfig(ctx, args[0])
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return importer.Inventory{}, fmt.Errorf("cannot find your ssh_config: %w; name the file", err)
	}
	return importer.SSHConfig(ctx, filepath.Join(home, ".ssh", "config"))
}

// importDocument is an inventory taken over from another tool.
type importDocument struct {
	FormatVersion int `json:"format_version"`
	// Inventory is the text to keep as fleet.hcl.
	Inventory string `json:"inventory"`
	Hosts     int    `json:"hosts"`
	Groups    int    `json:"groups"`
	// Notes are what was not taken over.
	Notes []noteDocument `json:"notes"`
}

// noteDocument is something that was not taken over, and why.
type noteDocument struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// printInventory writes the inventory itself, or the document that holds it.
func (a *app) printInventory(inv importer.Inventory, o importer.Options) error {
	if !a.json() {
		_, err := a.stdout.Write(inv.Text(o))
		return err
	}
	d := importDocument{FormatVersion: 1, Inventory: string(inv.Text(o)), Hosts: len(inv.Hosts), Groups: len(inv.Groups), Notes: []noteDocument{}}
	for _, n := range inv.Notes {
		d.Notes = append(d.Notes, noteDocument{n.At.File, n.At.Line, n.Text})
	}
	return a.print(d)
}

// imported prints the inventory on standard output and on standard error what
// was not taken over.
func (a *app) imported(inv importer.Inventory, err error, o importer.Options) error {
	if (o.Path == "") != (o.URL == "") {
		return &exitCode{exitUsage, "error: --path and --url go together"}
	}
	if o.Only != "" && o.Path == "" {
		return &exitCode{exitUsage, "error: --only says which hosts get an instance; it goes with --path and --url"}
	}
	fmt.Fprint(a.stderr, inv.Report())
	if err != nil {
		return err
	}
	if err := a.printInventory(inv, o); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s and %s taken over, %s not; keep the output as fleet.hcl, then: ncfleet validate\n",
		report.Plural(len(inv.Hosts), "host"), report.Plural(len(inv.Groups), "group"), report.Plural(len(inv.Notes), "thing"))
	return nil
}
