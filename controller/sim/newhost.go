package sim

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
)

// build writes a new host's folder: its installation, database, packages and
// system. Ports are known already.
func (h *hostConf) build() error {
	r := releases[0]
	if err := writeTree(h.tree(), r.files()); err != nil {
		return err
	}
	if err := os.Remove(h.tree() + "/config/CAN_INSTALL"); err != nil {
		return err
	}
	own := ownApps
	if h.has(AppIncompatible) {
		own = append(own[:len(own):len(own)], oldApp)
	}
	for _, a := range own {
		if err := writeFile(h.tree()+"/apps/"+a.ID+"/appinfo/info.xml", infoText(a), 0o644); err != nil {
			return err
		}
		if err := writeFile(h.tree()+"/apps/"+a.ID+"/js/main.js", "/* "+a.Version+" */\n", 0o644); err != nil {
			return err
		}
	}
	if err := writeFile(h.tree()+"/themes/acme/core/css/server.css", "body { color: #036 }\n", 0o644); err != nil {
		return err
	}
	if err := h.buildData(r, own); err != nil {
		return err
	}
	if err := h.savePackages(debian); err != nil {
		return err
	}
	if err := h.writeRoot(); err != nil {
		return err
	}
	return h.save()
}

// Alice is a user of every simulated instance, and her password.
const (
	Alice         = "alice"
	AlicePassword = "correct horse battery staple"
)

func (h *hostConf) buildData(r release, own []app) error {
	if err := os.MkdirAll(h.data(), 0o750); err != nil {
		return err
	}
	for name, text := range map[string]string{
		".ocdata": "# Nextcloud data directory\n", "nextcloud.log": "",
		"alice/files/welcome.txt": "Hello from " + h.Name + "\n", "alice/files/Notes/list.md": "- milk\n- bread\n",
	} {
		if err := writeFile(h.data()+"/"+name, text, 0o640); err != nil {
			return err
		}
	}
	db := &database{Schema: r.version, Apps: map[string]dbApp{}, Users: map[string]dbUser{
		Alice:   {Password: passwordSum(AlicePassword), Name: "Alice"},
		"admin": {Password: passwordSum("admin of " + h.Name), Name: "Admin"},
	}}
	for _, id := range shippedApps {
		db.Apps[id] = dbApp{Enabled: true, Version: "2." + r.major() + ".0"}
	}
	for _, a := range own {
		db.Apps[a.ID] = dbApp{Enabled: true, Version: a.Version}
	}
	file := h.data() + "/owncloud.db"
	if err := writeFile(file, "", 0o640); err != nil {
		return err
	}
	if err := db.write(file); err != nil {
		return err
	}
	return writeFile(h.tree()+"/config/config.php", configText(h.firstConfig(r)), 0o640)
}

func (h *hostConf) firstConfig(r release) *phpArray {
	domains := &phpArray{}
	domains.set(int64(0), fmt.Sprintf("127.0.0.1:%d", h.WebPort))
	domains.set(int64(1), "localhost")
	c := &phpArray{}
	c.set("instanceid", "oc"+h.Name)
	c.set("passwordsalt", "a simulated salt")
	c.set("secret", "a simulated secret")
	c.set("trusted_domains", domains)
	c.set("datadirectory", h.data())
	c.set("dbtype", "sqlite3")
	c.set("version", r.version)
	c.set("overwrite.cli.url", h.url())
	c.set("installed", true)
	c.set("appstoreurl", h.AppURL)
	if h.has(DirNotWritable) {
		c.set("appstoreenabled", false) // else no occ command would run
	}
	c.set("maintenance", false)
	c.set("loglevel", int64(2))
	return c
}

// newKey makes a key pair and returns the private one as PEM.
func newKey() (string, ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return "", nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	return string(pem.EncodeToMemory(block)), signer, err
}
