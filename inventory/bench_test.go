package inventory_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

const benchHosts = 20_000

func benchRollout() string {
	return `
group "even" {
  hosts = host.labels.parity == "even"
  ssh { port = 2222 }
}
rollout "all" {
  core { to = "29" }
  wave "canary" { hosts = host.labels.ring == "canary" && startswith(host.name, "cloud") }
  wave "tenth"  { percent = 10 }
  wave "even"   { hosts = contains(host.groups, "even") }
  wave "rest"   { rest = true }
}
`
}

func benchRing(i int) string {
	if i%1000 == 0 {
		return "canary"
	}
	return "normal"
}

// staticFleet is one file with a block per host.
func staticFleet(hosts int) string {
	var b strings.Builder
	for i := range hosts {
		fmt.Fprintf(&b, `host "cloud-%05d" {
  address = "10.%d.%d.%d"
  labels  = { ring = %q, parity = %q }
  nextcloud "main" {
    path = "/var/www/nextcloud"
    url  = "https://cloud-%d.example.org"
  }
}
`, i, 1+i/65536, i/256%256, i%256, benchRing(i), []string{"even", "odd"}[i%2], i)
	}
	return b.String() + benchRollout()
}

// computedFleet is one block with a for_each over a JSON file.
func computedFleet(dir string, hosts int) (string, error) {
	var b strings.Builder
	b.WriteString("{")
	for i := range hosts {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `"%05d":{"address":"10.%d.%d.%d","ring":%q,"parity":%q}`,
			i, 1+i/65536, i/256%256, i%256, benchRing(i), []string{"even", "odd"}[i%2])
	}
	b.WriteString("}")
	err := os.WriteFile(filepath.Join(dir, "hosts.json"), []byte(b.String()), 0o600)
	return `host "cloud" {
  for_each = jsondecode(file("hosts.json"))
  address  = each.value.address
  labels   = { ring = each.value.ring, parity = each.value.parity }
  nextcloud "main" {
    path = "/var/www/nextcloud"
    url  = "https://cloud-${each.key}.example.org"
  }
}
` + benchRollout(), err
}

func benchmarkLoad(b *testing.B, text, dir string) {
	b.Helper()
	name := filepath.Join(dir, "fleet.hcl")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		fleet, diags := inventory.Load([]string{name}, inventory.Options{})
		if len(diags) > 0 {
			b.Fatal(diags[0])
		}
		if len(fleet.Hosts) != benchHosts {
			b.Fatalf("got %d hosts", len(fleet.Hosts))
		}
	}
}

func BenchmarkLoadStatic(b *testing.B) {
	benchmarkLoad(b, staticFleet(benchHosts), b.TempDir())
}

func BenchmarkLoadForEach(b *testing.B) {
	dir := b.TempDir()
	text, err := computedFleet(dir, benchHosts)
	if err != nil {
		b.Fatal(err)
	}
	benchmarkLoad(b, text, dir)
}

// BenchmarkLoadErrors has one mistake in each of 20,000 host blocks.
func BenchmarkLoadErrors(b *testing.B) {
	name := filepath.Join(b.TempDir(), "fleet.hcl")
	text := strings.ReplaceAll(staticFleet(benchHosts), "ring = ", "ring = local.missing == ")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, diags := inventory.Load([]string{name}, inventory.Options{})
		if len(diags) < benchHosts {
			b.Fatalf("got %d diagnostics", len(diags))
		}
		var out strings.Builder
		if err := diags.Render(&out, false, 100); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadJSON(b *testing.B) {
	dir := b.TempDir()
	var text strings.Builder
	text.WriteString(`{"host": {`)
	for i := range benchHosts {
		if i > 0 {
			text.WriteString(",\n")
		}
		fmt.Fprintf(&text, `"cloud-%05d": {"address": "10.%d.%d.%d", "labels": {"ring": %q},
  "nextcloud": {"main": {"path": "/var/www/nextcloud", "url": "https://cloud-%d.example.org"}}}`,
			i, 1+i/65536, i/256%256, i%256, benchRing(i), i)
	}
	text.WriteString(`}, "rollout": {"all": {"core": {"to": 29}, "wave": [
  {"canary": {"hosts": "${host.labels.ring == \"canary\"}"}}, {"rest": {"rest": true}}]}}}`)
	name := filepath.Join(dir, "fleet.hcl.json")
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		fleet, diags := inventory.Load([]string{name}, inventory.Options{})
		if len(diags) > 0 || len(fleet.Hosts) != benchHosts {
			b.Fatalf("%d diagnostics", len(diags))
		}
	}
}
