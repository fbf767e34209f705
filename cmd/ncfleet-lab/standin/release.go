package standin

import (
	"crypto/sha512"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed all:tree
var tree embed.FS

// release is one release of the stand-in: all that differs between them.
type release struct {
	version  string   // four numbers
	from     []string // major.minor that it may follow
	phpMin   string   // as PHP_VERSION_ID
	phpBelow string
}

// releases in order of version.
var releases = []release{
	{"28.0.2.5", []string{"27.0", "27.1", "28.0"}, "80000", "80400"},
	{"28.0.5.1", []string{"27.0", "27.1", "28.0"}, "80000", "80400"},
	{"29.0.1.1", []string{"28.0", "29.0"}, "80000", "80400"},
	{"30.0.4.1", []string{"29.0", "30.0"}, "80100", "80400"},
}

func (r release) short() string { return r.version[:strings.LastIndex(r.version, ".")] }
func (r release) major() string { m, _, _ := strings.Cut(r.version, "."); return m }

// shipped are the apps of a release; those that are not enabled when they are
// new stand in shippedDisabled.
func (r release) shipped() []string {
	ids := strings.Fields("activity admin_audit comments dav federatedfilesharing files files_sharing files_trashbin files_versions logreader " +
		"lookup_server_connector notifications oauth2 password_policy provisioning_api settings systemtags text theming " +
		"updatenotification user_ldap viewer workflowengine")
	if r.major() >= "29" {
		ids = append(ids, "files_downloadlimit")
	}
	if r.major() >= "30" {
		ids = append(ids, "app_api")
	}
	return ids
}

var (
	alwaysEnabled   = strings.Fields("dav federatedfilesharing files lookup_server_connector oauth2 provisioning_api settings theming viewer workflowengine")
	shippedDisabled = map[string]bool{"admin_audit": true, "user_ldap": true}
)

// app is one version of an app.
type app struct{ id, version, min, max string }

// storeApps are the apps of the store, oldest version first.
var storeApps = []app{
	{"notesbin", "1.0.0", "28", "28"},
	{"notesbin", "1.1.0", "28", "30"},
	{"legacyclock", "1.0.0", "28", "28"},
}

func (a app) files() map[string]string {
	return map[string]string{
		"appinfo/info.xml": fmt.Sprintf(`<?xml version="1.0"?>
<info>
	<id>%[1]s</id>
	<name>%[1]s</name>
	<summary>Part of a stand-in for tests</summary>
	<version>%[2]s</version>
	<licence>agpl</licence>
	<dependencies>
		<nextcloud min-version="%[3]s" max-version="%[4]s"/>
	</dependencies>
</info>
`, a.id, a.version, a.min, a.max),
		"lib/app.php": "<?php\n// " + a.id + " " + a.version + "\n",
	}
}

// appVersion moves with the major; that of a few apps also with a point release.
func (r release) appVersion(id string) string {
	if (id == "files" || id == "dav") && r.version == "28.0.5.1" {
		return "2.28.1"
	}
	return "2." + r.major() + ".0"
}

// files is the whole tree of a release: name to content.
func (r release) files() (map[string]string, error) {
	out := map[string]string{}
	err := fs.WalkDir(tree, "tree", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := tree.ReadFile(path)
		out[strings.TrimPrefix(path, "tree/")] = strings.ReplaceAll(string(text), "{{VERSION}}", r.short())
		return err
	})
	if err != nil {
		return nil, err
	}
	out["version.php"] = r.versionPHP()
	out["lib/versioncheck.php"] = r.versionCheckPHP()
	var enabled []string
	for _, id := range r.shipped() {
		if !shippedDisabled[id] {
			enabled = append(enabled, id)
		}
		for name, text := range (app{id, r.appVersion(id), r.major(), r.major()}).files() {
			out["apps/"+id+"/"+name] = text
		}
	}
	list, err := json.MarshalIndent(map[string][]string{"shippedApps": r.shipped(), "alwaysEnabled": alwaysEnabled, "defaultEnabled": enabled}, "", "  ")
	if err != nil {
		return nil, err
	}
	out["core/shipped.json"] = string(list) + "\n"
	out["core/signature.json"], err = unsigned(out)
	return out, err
}

func (r release) versionPHP() string {
	from := ""
	for _, f := range r.from {
		from += "    '" + f + "' => true,\n"
	}
	return fmt.Sprintf(`<?php
$OC_Version = array(%s);
$OC_VersionString = '%s';
$OC_Edition = '';
$OC_Channel = 'stable';
$OC_VersionCanBeUpgradedFrom = array (
  'nextcloud' =>
  array (
%s  ),
  'owncloud' =>
  array (
    '10.13' => true,
  ),
);
$OC_Build = '2026-05-23T13:58:00+00:00 standin';
$vendor = 'nextcloud';
`, strings.ReplaceAll(r.version, ".", ","), r.short(), from)
}

// versionCheckPHP ends every script at once on a PHP out of bounds.
func (r release) versionCheckPHP() string {
	say := func(id, word string) string {
		return fmt.Sprintf(`	http_response_code(500);
	echo 'This version of Nextcloud %s PHP %c.%c<br/>';
	echo 'You are currently running ' . PHP_VERSION . '. Please update your PHP version.';
	exit(1);
`, word, id[0], id[2])
	}
	return "<?php\n// Stand-in for tests, not Nextcloud; see README.md.\nif (PHP_VERSION_ID < " + r.phpMin + ") {\n" + say(r.phpMin, "requires at least") +
		"}\nif (PHP_VERSION_ID >= " + r.phpBelow + ") {\n" + say(r.phpBelow, "is not compatible with") + "}\n"
}

// unsigned is core/signature.json without a signature: the files with their
// hashes. Strict integrity refuses it, as it must.
func unsigned(files map[string]string) (string, error) {
	hashes := map[string]string{}
	for name, text := range files {
		skip := name == ".htaccess" || name == ".user.ini"
		for _, p := range []string{"config/", "themes/", "updater/", "apps/"} {
			skip = skip || strings.HasPrefix(name, p)
		}
		if !skip {
			sum := sha512.Sum512([]byte(text))
			hashes[name] = hex.EncodeToString(sum[:])
		}
	}
	text, err := json.MarshalIndent(map[string]any{"hashes": hashes, "signature": "", "certificate": ""}, "", "  ")
	return string(text) + "\n", err
}
