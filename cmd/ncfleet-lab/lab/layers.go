package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// debian is the distribution of the shared file system itself. Hosts of the
// others have a layer on top of it: the distribution's real package tool and
// repository, and nothing of Debian's.
const debian = "debian"

// packageTools are the drivers that know a distribution's package tool.
var packageTools = map[string]string{debian: "apt", "rocky-like": "dnf", "suse-like": "zypper"}

// layer is where the layer of a distribution lies; its name tells the recipe.
func (l *Lab) layer(distro string) string {
	recipe := recipeDigest("layer.sh", "layer-configure.sh", "rpm-packages.sh")
	return filepath.Join(l.cache, distro+"-"+digest(filepath.Base(l.root()), recipe, runtime.GOARCH)[:12])
}

// buildLayers makes the layers that the cache lacks. The caller holds the
// cache's lock, and the root is there.
func (l *Lab) buildLayers(ctx context.Context, distros []string) (map[string]string, error) {
	layers := map[string]string{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for _, d := range distros {
		if d == debian || layers[d] != "" {
			continue
		}
		layers[d] = l.layer(d)
		if l.Built(d) {
			l.say("what makes hosts %s is built already: %s", d, layers[d])
			continue
		}
		g.Go(func() error {
			if err := l.buildLayer(ctx, d); err != nil {
				return fmt.Errorf("cannot build what makes hosts %s: %w", d, err)
			}
			return nil
		})
	}
	return layers, g.Wait()
}

func (l *Lab) buildLayer(ctx context.Context, distro string) error {
	if err := missing(buildTools); err != nil {
		return err
	}
	begun := time.Now()
	layer := l.layer(distro)
	l.say("building %s with %s; once, about a minute …", layer, packageTools[distro])
	work, err := os.MkdirTemp(l.cache, "build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	options, err := prepareBuild(ctx, work)
	if err != nil {
		return err
	}
	made := filepath.Join(work, "layer")
	_, err = apart(ctx, "", append([]string{filepath.Join(work, "recipes", "layer.sh"), distro, l.root(), made,
		filepath.Join(work, "recipes"), filepath.Join(work, "sources.list")}, options...)...)
	if err != nil {
		return err
	}
	if err := replace(made+".rpm", layer+".rpm"); err != nil {
		return err
	}
	if err := os.Rename(made, layer); err != nil {
		return err
	}
	l.say("built in %s: %s", seconds(begun), layer)
	return nil
}

// lower is what a host's file system lies on, as overlayfs reads it.
func (st *state) lower(h hostState) string {
	return strings.TrimPrefix(st.Layers[h.Distro]+":"+st.Root, ":")
}

// repository is the folder of the stages of a host's package repository.
func (st *state) repository(h hostState) string {
	if layer := st.Layers[h.Distro]; layer != "" {
		return layer + ".rpm"
	}
	return st.Packages
}
