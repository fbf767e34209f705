package sim

import (
	"archive/zip"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// release is one release of the simulated Nextcloud.
type release struct {
	version  string // four numbers
	from     []string
	phpMin   string // as PHP_VERSION_ID
	phpBelow string
}

// releases are what the simulated mirror offers; the first is what hosts run.
var releases = []release{
	{"28.0.2.5", []string{"27.0", "27.1", "28.0"}, "80000", "80400"},
	{"29.0.1.1", []string{"28.0", "29.0"}, "80000", "80400"},
	{"30.0.2.2", []string{"29.0", "30.0"}, "80100", "80400"},
	{"31.0.1.2", []string{"30.0", "31.0"}, "80100", "80500"},
}

func (r release) short() string { return r.version[:strings.LastIndex(r.version, ".")] }
func (r release) major() string { m, _, _ := strings.Cut(r.version, "."); return m }

// shippedApps come with every release, alwaysEnabled among them.
var (
	shippedApps = strings.Fields("activity comments contactsinteraction dashboard dav federatedfilesharing files files_sharing " +
		"files_trashbin files_versions logreader lookup_server_connector notifications oauth2 password_policy provisioning_api " +
		"settings systemtags text theming updatenotification viewer workflowengine")
	alwaysEnabled = strings.Fields("dav federatedfilesharing files lookup_server_connector oauth2 provisioning_api settings theming viewer workflowengine")
)

// ownApps are installed from the app store on every host.
var ownApps = []app{
	{ID: "calendar", Version: "4.6.1", Min: "26", Max: "31"},
	{ID: "contacts", Version: "5.5.0", Min: "26", Max: "31"},
	{ID: "notes", Version: "4.9.0", Min: "26", Max: "31"},
}

// oldApp is what the fault AppIncompatible adds.
var oldApp = app{ID: "drawio", Version: "2.1.3", Min: "20", Max: "28"}

// storeVersions are what the simulated app store offers.
var storeVersions = map[string]string{"calendar": "4.7.1", "notes": "4.9.4"}

func infoText(a app) string {
	return fmt.Sprintf(`<?xml version="1.0"?>
<info xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="https://apps.nextcloud.com/schema/apps/info.xsd">
	<id>%s</id>
	<name>%s</name>
	<summary>A simulated app</summary>
	<version>%s</version>
	<licence>agpl</licence>
	<dependencies>
		<nextcloud min-version="%s" max-version="%s"/>
	</dependencies>
</info>
`, a.ID, a.ID, a.Version, a.Min, a.Max)
}

// files is the tree of a release: name → content.
func (r release) files() map[string]string {
	v := strings.ReplaceAll(r.version, ".", ", ")
	from := ""
	for _, f := range r.from {
		from += fmt.Sprintf("\t\t'%s' => true,\n", f)
	}
	out := map[string]string{
		"version.php": fmt.Sprintf("<?php\n$OC_Version = array(%s);\n$OC_VersionString = '%s';\n$OC_Edition = '';\n"+
			"$OC_VersionCanBeUpgradedFrom = array (\n\t'nextcloud' => \n\tarray (\n%s\t),\n\t'owncloud' => \n\tarray (\n\t\t'10.13' => true,\n\t),\n);\n"+
			"$OC_Build = '2026-05-23T13:58:00+00:00 sim';\n$OC_Channel = 'stable';\n$vendor = 'nextcloud';\n", v, r.short(), from),
		"lib/versioncheck.php": fmt.Sprintf("<?php\n// The versions of PHP that this release runs on.\nif (PHP_VERSION_ID < %s) {\n\texit(1);\n}\nif (PHP_VERSION_ID >= %s) {\n\texit(1);\n}\n",
			r.phpMin, r.phpBelow),
		"lib/base.php":                "<?php\n// " + r.version + "\n",
		"lib/private/Server.php":      "<?php\n// " + r.version + "\n",
		"core/css/server.css":         "/* " + r.version + " */\nbody { margin: 0 }\n",
		"core/css/guest.css":          "/* " + r.version + " */\n#body-login { color: #fff }\n",
		"core/img/favicon.ico":        "icon " + r.version + "\n",
		"dist/core-main.js":           "/* " + r.version + " */\n",
		"dist/core-login.js":          "/* " + r.version + " */\n",
		"core/templates/login.php":    "<?php\n",
		"3rdparty/autoload.php":       "<?php\n",
		"themes/README":               "Themes go here.\n",
		"config/CAN_INSTALL":          "",
		"config/config.sample.php":    "<?php\n$CONFIG = array();\n",
		"resources/config/mime.json":  "{}\n",
		"updater/index.php":           "<?php\n",
		"ocs/v1.php":                  "<?php\n",
		"ocs/v2.php":                  "<?php\n",
		"ocs-provider/index.php":      "<?php\n",
		".htaccess":                   "# " + r.version + "\n",
		".user.ini":                   "output_buffering=0\n",
		"robots.txt":                  "User-agent: *\nDisallow: /\n",
		"COPYING":                     "AGPL\n",
		"occ":                         "#!/usr/bin/env php\n<?php\nrequire_once __DIR__ . '/console.php';\n",
		"core/shipped.json":           jsonText(shippedList{ShippedApps: shippedApps, AlwaysEnabled: alwaysEnabled}) + "\n",
		"core/doc/admin/index.html":   "<p>" + r.version + "</p>\n",
		"lib/composer/autoload.php":   "<?php\n",
		"lib/private/Updater.php":     "<?php\n// " + r.version + "\n",
		"lib/l10n/en_GB.json":         "{}\n",
		"resources/app-info.xsd":      "<xs:schema/>\n",
		"core/register_command.php":   "<?php\n",
		"core/Migrations/Version.php": "<?php\n// " + r.version + "\n",
	}
	for _, f := range strings.Fields("index.php status.php remote.php public.php cron.php console.php") {
		out[f] = "<?php\n// " + f + " of " + r.short() + "\n"
	}
	for _, id := range shippedApps {
		a := app{ID: id, Version: "2." + r.major() + ".0", Min: r.major(), Max: r.major()}
		out["apps/"+id+"/appinfo/info.xml"] = infoText(a)
	}
	return out
}

// writeTree puts files below a folder.
func writeTree(dir string, files map[string]string) error {
	for _, name := range sortedNames(files) {
		mode := os.FileMode(0o644)
		if name == "occ" {
			mode = 0o755
		}
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), files[name], mode); err != nil {
			return err
		}
	}
	return nil
}

func sortedNames(files map[string]string) []string {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// writeMirror makes the folder that releases are taken from: zip archives in
// the official naming, each with its checksum, and an index page of an app store.
func writeMirror(dir string) error {
	for _, r := range releases {
		name := "nextcloud-" + r.short() + ".zip"
		if err := writeArchive(filepath.Join(dir, name), r.files()); err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
	}
	return writeFile(filepath.Join(dir, "appstore", "apps.json"), "[]\n", 0o644)
}

func writeArchive(path string, files map[string]string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for _, name := range sortedNames(files) {
		h := &zip.FileHeader{Name: "nextcloud/" + name, Method: zip.Deflate, Modified: time.Date(2026, 5, 23, 14, 0, 0, 0, time.UTC)}
		h.SetMode(0o644)
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha512.Sum512(text)
	return writeFile(path+".sha512", hex.EncodeToString(sum[:])+"  "+filepath.Base(path)+"\n", 0o644)
}
