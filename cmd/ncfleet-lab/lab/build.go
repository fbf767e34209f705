package lab

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Limits of what is made once and kept.
const (
	buildLimit    = 15 * time.Minute
	templateLimit = 15 * time.Minute
)

// suite is the release of Debian that the recipes are written for.
const suite = "bookworm"

//go:embed all:recipes
var recipes embed.FS

// Build makes the file system that all hosts share, and what lies on top of it
// on hosts of these distributions, unless the cache holds them.
func (l *Lab) Build(ctx context.Context, distros ...string) error {
	if err := known("distro", distros, Distros); err != nil {
		return err
	}
	if err := Ready(); err != nil {
		return err
	}
	_, _, err := l.build(ctx, distros)
	return err
}

// Buildable says whether the shared file system is there or can be built here.
func (l *Lab) Buildable(ctx context.Context) error {
	if _, err := os.Stat(l.root()); err == nil {
		return nil
	}
	if err := missing(buildTools); err != nil {
		return err
	}
	_, err := aptSources(ctx)
	return err
}

// root is where the shared file system lies; its name tells the recipe.
func (l *Lab) root() string {
	recipe := recipeDigest("root.sh", "configure.sh", "packages.sh", "files")
	return filepath.Join(l.cache, "root-"+digest(recipe, runtime.GOARCH)[:12])
}

// recipeDigest is the digest of some of the recipes; a folder stands for all
// that is in it.
func recipeDigest(names ...string) string {
	var parts []string
	for _, name := range names {
		// An embedded file can always be read.
		_ = fs.WalkDir(recipes, path.Join("recipes", name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := recipes.ReadFile(path)
			parts = append(parts, path, string(data))
			return err
		})
	}
	return digest(parts...)
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Built reports whether the cache holds what hosts of these distributions are
// made of.
func (l *Lab) Built(distros ...string) bool {
	for _, d := range distros {
		if _, err := os.Stat(l.layer(d)); d != debian && err != nil {
			return false
		}
	}
	_, err := os.Stat(l.root())
	return err == nil
}

// build returns the shared file system and the layers by distribution.
func (l *Lab) build(ctx context.Context, distros []string) (root string, layers map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	if err := os.MkdirAll(l.cache, 0o700); err != nil {
		return "", nil, fmt.Errorf("cannot make the cache: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(l.cache, "lock"))
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	l.removeUnfinished()
	root = l.root()
	if l.Built() {
		l.say("the hosts' file system is built already: %s", root)
	} else if err := l.buildRoot(ctx, root); err != nil {
		return "", nil, err
	}
	layers, err = l.buildLayers(ctx, distros)
	return root, layers, err
}

func (l *Lab) buildRoot(ctx context.Context, root string) error {
	if err := l.Buildable(ctx); err != nil {
		return err
	}
	begun := time.Now()
	l.say("building %s with mmdebstrap; once, about two minutes …", root)
	work, err := os.MkdirTemp(l.cache, "build-")
	if err != nil {
		return fmt.Errorf("cannot build: %w", err)
	}
	defer os.RemoveAll(work)
	if err := l.makeRoot(ctx, work); err != nil {
		return fmt.Errorf("cannot build the hosts' file system: %w", err)
	}
	if err := os.Chmod(filepath.Join(work, "root"), 0o755); err != nil {
		return err
	}
	if err := replace(filepath.Join(work, "root.apt"), root+".apt"); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "root"), root); err != nil {
		return err
	}
	l.say("built in %s: %s", seconds(begun), root)
	return nil
}

// replace moves a folder to where one may be that a killed build left.
func replace(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// removeUnfinished removes what builds left that were killed. The caller holds
// the cache's lock: no build is running.
func (l *Lab) removeUnfinished() {
	for _, pattern := range []string{"build-*", "install-*"} {
		found, _ := filepath.Glob(filepath.Join(l.cache, pattern)) // the pattern is sound
		for _, f := range found {
			_ = os.RemoveAll(f) // in the way of nothing
		}
	}
}

func (l *Lab) makeRoot(ctx context.Context, work string) error {
	options, err := prepareBuild(ctx, work)
	if err != nil {
		return err
	}
	_, err = apart(ctx, "", append([]string{filepath.Join(work, "recipes", "root.sh"), filepath.Join(work, "root"),
		filepath.Join(work, "recipes"), filepath.Join(work, "sources.list"), suite}, options...)...)
	return err
}

// prepareBuild writes the recipes and this machine's package sources into a
// folder, and returns its settings for reaching them.
func prepareBuild(ctx context.Context, work string) (options []string, err error) {
	sources, err := aptSources(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(work, "sources.list"), []byte(sources), 0o600); err != nil {
		return nil, err
	}
	if err := writeRecipes(filepath.Join(work, "recipes")); err != nil {
		return nil, err
	}
	return aptOptions(ctx)
}

// apart runs a shell script in mount and process namespaces of its own: what it
// mounts and starts ends with it, and it ends with this process.
func apart(ctx context.Context, stdin string, script ...string) (string, error) {
	return feed(ctx, stdin, "unshare", append([]string{"--mount", "--propagation", "private",
		"--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh"}, script...)...)
}

// writeRecipes unpacks what is embedded into a new folder.
func writeRecipes(dir string) error {
	sub, err := fs.Sub(recipes, "recipes")
	if err != nil {
		return err
	}
	return os.CopyFS(dir, sub)
}

// aptSources reads this machine's package sources of the suite, whatever form
// they are written in: no mirror's name stands in the lab.
func aptSources(ctx context.Context) (string, error) {
	out, err := tool(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	if err != nil {
		return "", fmt.Errorf("cannot read this machine's package sources: %w", err)
	}
	list := pickSources(out)
	if !slices.ContainsFunc(list, func(s string) bool { return strings.HasSuffix(s, " "+suite+" main") }) {
		return "", fmt.Errorf("this machine's package sources offer no Debian 12 (%s, component main), and the hosts are made from them: add it to /etc/apt/sources.list", suite)
	}
	return strings.Join(list, "\n") + "\n", nil
}

// pickSources keeps Debian's own suites of lines "URI RELEASE COMPONENT".
func pickSources(lines string) []string {
	var list []string
	for _, line := range strings.Split(lines, "\n") {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "main" {
			continue
		}
		switch f[1] {
		case suite, suite + "-updates", suite + "-security":
			if entry := "deb " + strings.Join(f, " "); !slices.Contains(list, entry) {
				list = append(list, entry)
			}
		}
	}
	return list
}

// transport matches the settings with which this machine reaches its sources.
var transport = regexp.MustCompile(`^Acquire::(?:(?:http|https|ftp)::\S+|Retries) ".+";$`)

func aptOptions(ctx context.Context) ([]string, error) {
	out, err := tool(ctx, "apt-config", "dump")
	if err != nil {
		return nil, fmt.Errorf("cannot read this machine's apt configuration: %w", err)
	}
	var options []string
	for _, line := range strings.Split(out, "\n") {
		if transport.MatchString(line) {
			options = append(options, line)
		}
	}
	return options, nil
}

func seconds(since time.Time) string {
	return fmt.Sprintf("%.1f s", time.Since(since).Seconds())
}
