package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ncfleet/ncfleet/"

// rows is the table of layers: an import goes to a lower row, never sideways
// or up. A name that ends in /* stands for the packages below it.
var rows = [][]string{
	{"plugins/driver", "examples"},
	{"inventory", "inventory/sshconfig", "controller/nextcloud", "plugins/products", "plugins/stale", "plugins/cloud", "plugins/hostcopy", "controller/report/screen"},
	{"controller/plan", "inventory/importer", "plugins/rpm", "plugins/packages", "inventory/exporter"},
	{"controller/rollout"},
	{"controller/survey", "controller/executor", "controller/fleetreport", "controller/journal", "plugins/rpc", "plugins/rpc/driverv1", "plugins/apt", "plugins/archive", "plugins/hcloud", "plugins/digitalocean", "plugins/drivertest/conformance", "plugins/aws", "plugins/dnf", "plugins/zypper", "plugins/btrfs", "plugins/apk", "plugins/libvirt", "plugins/proxmox", "plugins/vsphere", "plugins/lvm", "plugins/zfs", "plugins/openstack"},
	{"controller", "controller/report", "controller/remote", "controller/drivers", "controller/release", "controller/notify", "controller/metrics", "controller/trace", "plugins/drivertest", "plugins/cloud/cloudtest", "plugins/boxtest", "plugins/rpm/rpmtest"},
	{"controller/sim", "plugins/hostcopy/hostcopytest"},
	{"cmd/ncfleet-lab/standin", "cmd/ncfleet-lab/ledger"},
	{"cmd/ncfleet-lab/lab"},
	{"cmd/*"},
}

// within names the edges inside one row that are part of one thing.
var within = map[string]string{"plugins/rpc": "plugins/rpc/driverv1"}

// pure packages neither reach the outside nor read a clock. Package drivers are
// among them: they compile and parse, and so their crash strands no host.
var pure = []string{"controller/plan", "controller/rollout", "controller/fleetreport", "controller/nextcloud", "plugins/products", "plugins/stale", "plugins/rpm", "plugins/packages",
	"plugins/apt", "plugins/dnf", "plugins/zypper", "plugins/apk"}

// confined packages see their driver's block alone: no environment, files or
// programs of the machine, from which they could take credentials.
var confined = []string{"plugins/cloud", "plugins/aws", "plugins/hcloud", "plugins/digitalocean", "plugins/openstack",
	"plugins/vsphere", "plugins/libvirt", "plugins/proxmox"}

var confinedImports = []string{"os", "os/exec", "os/user", "syscall"}

// only says which packages alone may import a library; those of nobody search
// the machine for credentials.
var only = map[string][]string{
	"github.com/aws/aws-sdk-go-v2/config":           {},
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds": {},
	"github.com/gophercloud/utils":                  {},
	"github.com/hashicorp/hcl/":                     {"inventory", "inventory/importer"},
	"github.com/zclconf/go-cty/":                    {"inventory", "inventory/importer"},
	"go.yaml.in/yaml/":                              {"inventory/importer"},
	"github.com/hashicorp/go-plugin":                {"plugins/rpc", "controller/drivers"},
	"google.golang.org/grpc":                        {"plugins/rpc", "plugins/rpc/driverv1", "controller/drivers"},
	"google.golang.org/protobuf":                    {"plugins/rpc", "plugins/rpc/driverv1"},
	"golang.org/x/crypto/ssh":                       {"controller/remote", "controller/sim"},
	"go.opentelemetry.io/":                          {"controller/trace"},
	"modernc.org/sqlite":                            {"controller/journal"},
	"github.com/spf13/cobra":                        {"cmd/*"},
	"github.com/aws/":                               {"plugins/aws"},
	"github.com/prometheus/":                        {"controller/metrics", "cmd/*"},
	"github.com/ProtonMail/go-crypto":               {"controller/release"},
	"github.com/vmware/govmomi":                     {"plugins/vsphere"},
	"github.com/gophercloud/":                       {"plugins/openstack"},
	"github.com/digitalocean/go-libvirt":            {"plugins/libvirt"},
	"github.com/digitalocean/godo":                  {"plugins/digitalocean"},
	"github.com/hetznercloud/":                      {"plugins/hcloud"},
}

var impureImports = []string{"os", "net", "math/rand", "math/rand/v2", "os/exec", "syscall", "io/ioutil", "path/filepath"}

// names of package time that read the clock or wait for it.
var clockCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}

func TestLayers(t *testing.T) {
	files := goFiles(t)
	if len(files) < 50 {
		t.Fatalf("only %d files found: the test looks in the wrong place", len(files))
	}
	for path, file := range files {
		pkg := filepath.ToSlash(filepath.Dir(path))
		for _, problem := range layerProblems(pkg, file) {
			t.Errorf("%s: %s", path, problem)
		}
	}
}

// TestLayersCatch proves that the check can fail.
func TestLayersCatch(t *testing.T) {
	cases := map[string]struct{ pkg, src string }{
		"imports controller/executor": {"controller/rollout", `package rollout; import _ "github.com/ncfleet/ncfleet/controller/executor"`},
		"is sideways or up":           {"controller/plan", `package plan; import _ "github.com/ncfleet/ncfleet/controller/rollout"`},
		"time.Now":                    {"controller/rollout", `package rollout; import "time"; var x = time.Now`},
		"imports os":                  {"controller/nextcloud", `package nextcloud; import _ "os"`},
		"imports net/http":            {"controller/plan", `package plan; import _ "net/http"`},
		"goroutine":                   {"controller/plan", `package plan; func f() { go f() }`},
		"stands in no layer":          {"controller/util", `package util`},
		"belongs to nobody":           {"plugins/aws", `package aws; import _ "github.com/aws/aws-sdk-go-v2/config"`},
		"sees its driver's block":     {"plugins/hcloud", `package hcloud; import _ "os"`},
		"pure package plugins/apt":    {"plugins/apt", `package apt; import _ "os/exec"`},
		"hashicorp/hcl":               {"controller/plan", `package plan; import _ "github.com/hashicorp/hcl/v2"`},
	}
	for want, c := range cases {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", c.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(layerProblems(c.pkg, f), "\n"); !strings.Contains(got, want) {
			t.Errorf("%q in %s: problems %q do not say %q", c.src, c.pkg, got, want)
		}
	}
}

func goFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	root := filepath.Join("..", "..")
	files := map[string]*ast.File{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "examples") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files[rel] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func rowOf(pkg string) int {
	for i, row := range rows {
		for _, p := range row {
			if p == pkg || strings.HasSuffix(p, "/*") && strings.HasPrefix(pkg, strings.TrimSuffix(p, "*")) {
				return i
			}
		}
	}
	return -1
}

func layerProblems(pkg string, file *ast.File) []string {
	var problems []string
	row := rowOf(pkg)
	if row < 0 {
		problems = append(problems, "package "+pkg+" stands in no layer; add it to the table")
	}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(problems, err.Error())
		}
		problems = append(problems, importProblems(pkg, row, path)...)
	}
	if slices.Contains(pure, pkg) {
		problems = append(problems, clockProblems(pkg, file)...)
	}
	return problems
}

func importProblems(pkg string, row int, path string) []string {
	var problems []string
	if own, ok := strings.CutPrefix(path, module); ok {
		if r := rowOf(own); r < 0 || r >= row && within[pkg] != own {
			problems = append(problems, pkg+" imports "+own+", which is sideways or up")
		}
		return problems
	}
	for lib, allowed := range only {
		if !strings.HasPrefix(path, lib) {
			continue
		}
		ok := false
		for _, a := range allowed {
			ok = ok || a == pkg || strings.HasSuffix(a, "/*") && strings.HasPrefix(pkg, strings.TrimSuffix(a, "*"))
		}
		if !ok {
			problems = append(problems, pkg+" imports "+path+", which belongs to "+orNobody(allowed))
		}
	}
	if slices.Contains(confined, pkg) && slices.Contains(confinedImports, path) {
		problems = append(problems, pkg+" sees its driver's block alone, and imports "+path)
	}
	if slices.Contains(pure, pkg) && (slices.Contains(impureImports, path) || strings.HasPrefix(path, "net/") && path != "net/url") {
		problems = append(problems, "pure package "+pkg+" imports "+path)
	}
	return problems
}

func orNobody(list []string) string {
	if len(list) == 0 {
		return "nobody"
	}
	return strings.Join(list, " and ")
}

func clockProblems(pkg string, file *ast.File) []string {
	var problems []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			problems = append(problems, "pure package "+pkg+" starts a goroutine")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clockCalls, n.Sel.Name) {
				problems = append(problems, "pure package "+pkg+" uses time."+n.Sel.Name)
			}
		}
		return true
	})
	return problems
}
