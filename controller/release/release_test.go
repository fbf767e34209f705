package release

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

const versionPHP = "<?php\n$OC_Version = array(29,0,1,1);\n$OC_VersionString = '29.0.1';\n$OC_Channel = 'stable';\n$OC_VersionCanBeUpgradedFrom = array('nextcloud' => array('28.0' => true, '29.0' => true));\n"

// archive makes a small release zip and its checksum file in dir.
func archive(t *testing.T, dir, version string, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	name := "nextcloud-" + version + ".zip"
	write(t, filepath.Join(dir, name), b.Bytes())
	sum := sha512.Sum512(b.Bytes())
	write(t, filepath.Join(dir, name+".sha512"), []byte(hex.EncodeToString(sum[:])+"  "+name+"\n"))
	return filepath.Join(dir, name)
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func any29(v nextcloud.Version) bool { return v.Major() == 29 }

func TestListFolderAndURL(t *testing.T) {
	dir := t.TempDir()
	archive(t, dir, "29.0.1", map[string]string{"nextcloud/version.php": versionPHP})
	archive(t, dir, "28.0.2", map[string]string{"nextcloud/version.php": versionPHP})
	write(t, filepath.Join(dir, "nextcloud-29.0.2rc1.zip"), []byte("x"))
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	for _, location := range []string{dir, srv.URL} {
		s := &Source{Location: location, Cache: t.TempDir(), Integrity: "warn"}
		list, err := s.List(context.Background(), any29)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Version.String() != "29.0.1" || len(list[0].SHA512) != 128 {
			t.Fatalf("%s: %+v", location, list)
		}
		c, err := s.Ensure(context.Background(), list[0])
		if err != nil {
			t.Fatal(err)
		}
		if c.Report.Version.Long() != "29.0.1.1" || c.Size == 0 {
			t.Errorf("%+v", c)
		}
		if again, ok := s.remembered(c.Path, list[0]); !ok || again.SHA256 != c.SHA256 {
			t.Error("the look at every file would be done twice")
		}
	}
}

func TestStrictRefusesUnsignedFiles(t *testing.T) {
	dir := t.TempDir()
	archive(t, dir, "29.0.1", map[string]string{"nextcloud/version.php": versionPHP})
	s := &Source{Location: dir, Cache: t.TempDir(), Integrity: "strict"}
	list, err := s.List(context.Background(), any29)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Ensure(context.Background(), list[0])
	if err == nil || !strings.Contains(err.Error(), "core/signature.json: not in the archive") {
		t.Errorf("err %v", err)
	}
}

func TestDamagedArchiveIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := archive(t, dir, "29.0.1", map[string]string{"nextcloud/version.php": versionPHP})
	s := &Source{Location: dir, Cache: t.TempDir(), Integrity: "warn"}
	list, err := s.List(context.Background(), any29)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, []byte("damaged"))
	if _, err := s.Ensure(context.Background(), list[0]); err == nil || !strings.Contains(err.Error(), "SHA-512") {
		t.Errorf("err %v", err)
	}
}

func TestDamagedCacheIsFetchedAgain(t *testing.T) {
	dir := t.TempDir()
	archive(t, dir, "29.0.1", map[string]string{"nextcloud/version.php": versionPHP})
	s := &Source{Location: dir, Cache: t.TempDir(), Integrity: "warn"}
	list, err := s.List(context.Background(), any29)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Ensure(context.Background(), list[0])
	if err != nil {
		t.Fatal(err)
	}
	write(t, c.Path, []byte("rotten"))
	again, err := s.Ensure(context.Background(), list[0])
	if err != nil || again.SHA256 != c.SHA256 {
		t.Errorf("%+v %v", again, err)
	}
}

func TestSourcesThatCannotBeUsed(t *testing.T) {
	notThere := &Source{Location: filepath.Join(t.TempDir(), "no"), Cache: t.TempDir()}
	if _, err := notThere.List(context.Background(), any29); err == nil {
		t.Error("a missing folder was accepted")
	}
	dir := t.TempDir()
	path := archive(t, dir, "29.0.1", map[string]string{"nextcloud/version.php": versionPHP})
	if err := os.Remove(path + ".sha512"); err != nil {
		t.Fatal(err)
	}
	s := &Source{Location: dir, Cache: t.TempDir()}
	if _, err := s.List(context.Background(), any29); err == nil || !strings.Contains(err.Error(), ".sha512") {
		t.Errorf("no checksum: %v", err)
	}
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	gone := &Source{Location: srv.URL, Cache: t.TempDir()}
	if _, err := gone.List(context.Background(), any29); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("404: %v", err)
	}
}

func TestArchiveThatLeavesItsFolder(t *testing.T) {
	for _, name := range []string{"nextcloud/../../etc/passwd", "other/version.php", "../nextcloud/x"} {
		dir := t.TempDir()
		path := archive(t, dir, "29.0.1", map[string]string{name: "x", "nextcloud/version.php": versionPHP})
		if _, err := Inspect(context.Background(), path); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestOpenPGP(t *testing.T) {
	dir := t.TempDir()
	path := archive(t, dir, "29.0.1", map[string]string{"nextcloud/version.php": versionPHP})
	signer, keyring := newKey(t)
	_, otherKeyring := newKey(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var asc bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&asc, signer, f, nil); err != nil {
		t.Fatal(err)
	}
	write(t, path+".asc", asc.Bytes())
	for ring, wantErr := range map[string]bool{keyring: false, otherKeyring: true} {
		s := &Source{Location: dir, Cache: t.TempDir(), Integrity: "warn", Keyring: ring}
		list, err := s.List(context.Background(), any29)
		if err != nil || !list[0].Signed {
			t.Fatalf("%+v %v", list, err)
		}
		c, err := s.Ensure(context.Background(), list[0])
		if (err != nil) != wantErr {
			t.Errorf("keyring %s: %v", ring, err)
		}
		if !wantErr && !strings.HasPrefix(c.Report.Signature, "good: ") {
			t.Errorf("signature %q", c.Report.Signature)
		}
	}
}

func TestKeyringDemandsASignature(t *testing.T) {
	dir := t.TempDir()
	archive(t, dir, "29.0.1", map[string]string{"nextcloud/version.php": versionPHP})
	_, keyring := newKey(t)
	s := &Source{Location: dir, Cache: t.TempDir(), Integrity: "warn", Keyring: keyring}
	list, err := s.List(context.Background(), any29)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure(context.Background(), list[0]); err == nil || !strings.Contains(err.Error(), ".asc") {
		t.Errorf("err %v", err)
	}
}

func newKey(t *testing.T) (*openpgp.Entity, string) {
	t.Helper()
	e, err := openpgp.NewEntity("release", "", "release@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keyring.asc")
	write(t, path, b.Bytes())
	return e, path
}

func TestPHPJSON(t *testing.T) {
	got := string(phpJSON(map[string]string{"b/ü.php": "1", "a\"": "2", "😀": "3"}))
	want := `{"a\"":"2","b\/\u00fc.php":"1","\ud83d\ude00":"3"}`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestOfficialArchive looks at a real release when one is given, such as
// NCFLEET_TEST_RELEASE=/srv/mirror/nextcloud-29.0.1.tar.bz2.
func TestOfficialArchive(t *testing.T) {
	path := os.Getenv("NCFLEET_TEST_RELEASE")
	if path == "" {
		t.Skip("NCFLEET_TEST_RELEASE names no official archive")
	}
	rep, err := Inspect(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Faults) > 0 || rep.Signed < 10000 {
		t.Errorf("%d signed of %d files; faults %v", rep.Signed, rep.Files, rep.Faults)
	}
	fmt.Println(rep.Version.Long(), rep.Signed, rep.String())
	t.Logf("missing %v\nchanged %v\nextra %v", rep.Missing, rep.Changed, rep.Extra)
}
