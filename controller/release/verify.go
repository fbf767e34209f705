package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
)

// Report is what a look at every file of an archive found. Paths are inside
// the top folder nextcloud/.
type Report struct {
	Version nextcloud.Version // of version.php, four numbers
	Files   int
	Signed  int      // files that agree with a signed list
	Missing []string // signed, not in the archive
	Changed []string // in the archive with other content
	Extra   []string // in a signed place, but not in its list
	Faults  []string // lists that could not be proved, with the reason
	// Signature tells what became of the OpenPGP check: "good: KEY", "not
	// checked: …".
	Signature string
	Keyring   string
}

// Clean reports whether every file is as signed.
func (r Report) Clean() bool {
	return len(r.Missing)+len(r.Changed)+len(r.Extra)+len(r.Faults) == 0
}

// String names the first differences and counts the rest.
func (r Report) String() string {
	if r.Clean() {
		return fmt.Sprintf("all %d files as signed", r.Signed)
	}
	var parts []string
	for _, p := range []struct {
		what string
		list []string
	}{{"not provable", r.Faults}, {"changed", r.Changed}, {"missing", r.Missing}, {"not in the signed list", r.Extra}} {
		if len(p.list) == 0 {
			continue
		}
		shown := p.list[:min(3, len(p.list))]
		text := fmt.Sprintf("%d %s (%s", len(p.list), p.what, strings.Join(shown, ", "))
		if len(p.list) > len(shown) {
			text += ", …"
		}
		parts = append(parts, text+")")
	}
	return "its files differ from what Nextcloud signed: " + strings.Join(parts, "; ")
}

// verify looks at the OpenPGP signature and at every file.
func (s *Source) verify(ctx context.Context, file string, r plan.Release) (Report, error) {
	sig, err := s.verifyPGP(ctx, file, r)
	if err != nil {
		return Report{}, err
	}
	rep, err := Inspect(ctx, file)
	if err != nil {
		return Report{}, fmt.Errorf("cannot verify %s: %w", r.Name, err)
	}
	rep.Signature, rep.Keyring = sig, s.Keyring
	if !rep.Version.SameRelease(r.Version) {
		return Report{}, fmt.Errorf("cannot use %s: its version.php says %s", r.Name, rep.Version)
	}
	return rep, nil
}

func (s *Source) verifyPGP(ctx context.Context, file string, r plan.Release) (string, error) {
	if s.Keyring == "" {
		return "not checked: no keyring is given", nil
	}
	if !r.Signed { // whoever replaced the archive would leave the signature out
		return "", fmt.Errorf("cannot use %s: a keyring is given and %s has no %s.asc", r.Name, s.Location, r.Name)
	}
	keys, err := readKeyring(s.Keyring)
	if err != nil {
		return "", fmt.Errorf("cannot read keyring %s: %w", s.Keyring, err)
	}
	asc, err := s.small(ctx, r.Name+".asc")
	if err != nil {
		return "", fmt.Errorf("cannot read %s.asc: %w", r.Name, err)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	signer, err := openpgp.CheckArmoredDetachedSignature(keys, f, strings.NewReader(string(asc)), nil)
	if err != nil {
		return "", fmt.Errorf("cannot use %s: its OpenPGP signature does not verify with %s: %w", r.Name, s.Keyring, err)
	}
	return fmt.Sprintf("good: %X", signer.PrimaryKey.Fingerprint), nil
}

// readKeyring reads OpenPGP public keys, ASCII-armoured or binary.
func readKeyring(path string) (openpgp.EntityList, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")) {
		return openpgp.ReadArmoredKeyRing(bytes.NewReader(text))
	}
	return openpgp.ReadKeyRing(bytes.NewReader(text))
}

// Inspect reads a whole archive and compares each file with the signed lists
// in it: core/signature.json and each app's appinfo/signature.json.
func Inspect(ctx context.Context, file string) (Report, error) {
	c := contents{sums: map[string]string{}, kept: map[string][]byte{}}
	if err := c.read(ctx, file); err != nil {
		return Report{}, err
	}
	return c.compare()
}

// contents is what an archive holds: the SHA-512 of each file, and the few
// files that are read.
type contents struct {
	sums map[string]string
	kept map[string][]byte
}

func (c *contents) read(ctx context.Context, file string) error {
	if strings.HasSuffix(file, ".zip") {
		return c.readZip(ctx, file)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	t := tar.NewReader(bzip2.NewReader(f))
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch h.Typeflag {
		case tar.TypeReg:
			if err := c.add(h.Name, t); err != nil {
				return err
			}
		case tar.TypeDir, tar.TypeXGlobalHeader:
		default:
			return fmt.Errorf("%s is neither file nor directory; a release holds nothing else", h.Name)
		}
	}
}

func (c *contents) readZip(ctx context.Context, file string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if f.FileInfo().IsDir() {
			continue
		}
		if !f.Mode().IsRegular() {
			return fmt.Errorf("%s is neither file nor directory; a release holds nothing else", f.Name)
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		err = c.add(f.Name, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// add hashes one file; a name that leaves the top folder is an error.
func (c *contents) add(name string, r io.Reader) error {
	clean := path.Clean(name)
	rel, ok := strings.CutPrefix(clean, "nextcloud/")
	if !ok || strings.Contains("/"+clean+"/", "/../") {
		return fmt.Errorf("%s lies outside the top folder nextcloud/", name)
	}
	h := sha512.New()
	var w io.Writer = h
	var keep strings.Builder
	wanted := rel == "version.php" || rel == "resources/codesigning/root.crt" || strings.HasSuffix(rel, "/signature.json")
	if wanted {
		w = io.MultiWriter(h, &keep)
		r = io.LimitReader(r, maxIndexBytes)
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	c.sums[rel] = hex.EncodeToString(h.Sum(nil))
	if wanted {
		c.kept[rel] = []byte(keep.String())
	}
	return nil
}

// unsigned are the places that core's list leaves out
// (ExcludeFoldersByPathFilterIterator.php); apps have lists of their own.
var unsigned = []string{"data/", "themes/", "config/", "assets/", "updater/"}

func (c *contents) compare() (Report, error) {
	rep := Report{Files: len(c.sums)}
	php, err := nextcloud.ParseVersionPHP(c.kept["version.php"])
	if err != nil {
		return rep, fmt.Errorf("its version.php: %w", err)
	}
	rep.Version = php.Version
	c.compareList(&rep, "", "core/signature.json", "core")
	apps := map[string]bool{}
	for p := range c.sums {
		if parts := strings.SplitN(p, "/", 3); len(parts) == 3 && parts[0] == "apps" {
			apps[parts[1]] = true
		}
	}
	for app := range apps {
		c.compareList(&rep, "apps/"+app+"/", "apps/"+app+"/appinfo/signature.json", app, "core")
	}
	for _, l := range []*[]string{&rep.Missing, &rep.Changed, &rep.Extra, &rep.Faults} {
		sort.Strings(*l)
	}
	return rep, nil
}

// compareList compares the files under prefix with one signed list.
func (c *contents) compareList(rep *Report, prefix, list string, names ...string) {
	text, ok := c.kept[list]
	if !ok {
		rep.Faults = append(rep.Faults, list+": not in the archive")
		return
	}
	m, err := readManifest(text, c.kept["resources/codesigning/root.crt"], names...)
	if err != nil {
		rep.Faults = append(rep.Faults, list+": "+err.Error())
		return
	}
	for p, want := range m.Hashes {
		switch got, ok := c.sums[prefix+p]; {
		case !ok:
			rep.Missing = append(rep.Missing, prefix+p)
		case got != want:
			rep.Changed = append(rep.Changed, prefix+p)
		default:
			rep.Signed++
		}
	}
	for p := range c.sums {
		rel, ok := strings.CutPrefix(p, prefix)
		if !ok || p == list || (prefix == "" && outsideCore(p)) {
			continue
		}
		if _, listed := m.Hashes[rel]; !listed {
			rep.Extra = append(rep.Extra, p)
		}
	}
}

func outsideCore(p string) bool {
	if strings.HasPrefix(p, "apps/") {
		return true
	}
	for _, u := range unsigned {
		if strings.HasPrefix(p, u) {
			return true
		}
	}
	return false
}
