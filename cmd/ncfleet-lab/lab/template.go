package lab

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// diskSize is a host's data disk; the image is sparse.
const diskSize = "3G"

// secrets are the passwords inside the templates of one release.
type secrets struct{ Ada, Passing string }

// templates makes a data disk per kind of database on which Nextcloud is
// installed, unless the cache holds it: installing once and copying is what
// makes Up fast.
func (l *Lab) templates(ctx context.Context, st *state, archive string, app appTemplate, dbs []string) (secrets, error) {
	ctx, cancel := context.WithTimeout(ctx, templateLimit)
	defer cancel()
	var s secrets
	content, err := fileDigest(archive)
	if err != nil {
		return s, err
	}
	dir := filepath.Join(l.cache, "template-"+digest(filepath.Base(st.Root), recipeDigest("template.sh", "install.sh"), content, app.digest, diskSize)[:12])
	unlock, err := lock(ctx, filepath.Join(l.cache, "lock"))
	if err != nil {
		return s, err
	}
	defer unlock()
	l.removeUnfinished()
	if s, err = templateSecrets(dir); err != nil {
		return s, err
	}
	st.Templates, st.Passing = map[string]string{}, s.Passing
	var lacking []string
	for _, db := range dbs {
		st.Templates[db] = filepath.Join(dir, db+".img")
		if _, err := os.Stat(st.Templates[db]); err != nil {
			lacking = append(lacking, db)
		}
	}
	if len(lacking) == 0 {
		return s, nil
	}
	begun := time.Now()
	l.say("installing Nextcloud %s once per database (%s) …", st.Nextcloud, strings.Join(lacking, ", "))
	if err := l.makeTemplates(ctx, st, archive, app, lacking, s); err != nil {
		return s, fmt.Errorf("cannot install Nextcloud %s: %w", st.Nextcloud, err)
	}
	l.say("installed in %s", seconds(begun))
	return s, nil
}

func templateSecrets(dir string) (secrets, error) {
	var s secrets
	file := filepath.Join(dir, "secrets.json")
	if data, err := os.ReadFile(file); err == nil {
		return s, json.Unmarshal(data, &s)
	}
	s = secrets{Ada: password(), Passing: password()}
	data, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, fmt.Errorf("cannot make a folder of the cache: %w", err)
	}
	return s, writeFile(file, data, 0o600)
}

// password is random and passes the rules of Nextcloud's password policy.
func password() string { return rand.Text()[:24] + "-a1" }

func (l *Lab) makeTemplates(ctx context.Context, st *state, archive string, app appTemplate, dbs []string, s secrets) error {
	work, err := os.MkdirTemp(l.cache, "install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := unpack(ctx, archive, work); err != nil {
		return err
	}
	appDir := ""
	if app.archive != "" {
		if _, err := tool(ctx, "tar", "-xzf", app.archive, "-C", work); err != nil {
			return err
		}
		appDir = filepath.Join(work, app.id)
	}
	if err := writeRecipes(filepath.Join(work, "recipes")); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(3)
	for _, db := range dbs {
		g.Go(func() error {
			image := filepath.Join(work, db+".img")
			_, err := apart(ctx, s.Ada+"\n"+s.Passing+"\n", filepath.Join(work, "recipes", "template.sh"),
				st.Root, filepath.Join(work, "nextcloud"), db, image, diskSize, appDir, filepath.Join(work, "recipes"))
			if err != nil {
				return fmt.Errorf("on %s: %w", db, err)
			}
			return os.Rename(image, st.Templates[db])
		})
	}
	return g.Wait()
}

// unpack extracts a release into a folder, where it becomes "nextcloud".
func unpack(ctx context.Context, archive, dir string) error {
	if strings.HasSuffix(archive, ".zip") {
		_, err := tool(ctx, "unzip", "-q", archive, "-d", dir)
		return err
	}
	_, err := tool(ctx, "tar", "-xjf", archive, "-C", dir)
	return err
}
