package boxtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// APK is a package to build for Alpine's package tool: it has
// /usr/share/NAME/version and the configuration file /etc/lab/NAME.conf.
type APK struct {
	Name, Version string
	Depends       []string // as in a .PKGINFO: "x", "x>1", "!x"
	Head          []string // more lines of the .PKGINFO: "replaces = x"
	Post          string   // a script run after an upgrade
}

// APKRepo is a signed repository below /srv/repo.
type APKRepo struct {
	b    *Box
	key  *rsa.PrivateKey
	path string
}

// APKURL is where a repository of a name is served.
func APKURL(name string) string { return "http://127.0.0.1:8080/" + name }

// NewAPKRepo makes a repository whose key the box trusts.
func (b *Box) NewAPKRepo(name string) *APKRepo {
	b.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		b.t.Fatal(err)
	}
	r := &APKRepo{b: b, key: key, path: "/srv/repo/" + name + "/x86_64"}
	b.Put("/etc/apk/keys/"+name+".rsa.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	return r
}

// tarball packs files, without the two empty blocks at the end unless whole.
func (r *APKRepo) tarball(files map[string][]byte, whole bool) []byte {
	r.b.t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	made := map[string]bool{}
	for _, name := range names {
		// Every folder on the way needs an entry of its own.
		for i := strings.Index(name, "/"); whole && i > 0; {
			if dir := name[:i+1]; !made[dir] {
				made[dir] = true
				if err := w.WriteHeader(&tar.Header{Name: dir, Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
					r.b.t.Fatal(err)
				}
			}
			next := strings.Index(name[i+1:], "/")
			if next < 0 {
				break
			}
			i += 1 + next
		}
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if whole {
			h.Mode, h.Format = 0o644, tar.FormatPAX
			h.PAXRecords = map[string]string{"APK-TOOLS.checksum.SHA1": fmt.Sprintf("%x", sha1.Sum(files[name]))}
		}
		if err := w.WriteHeader(h); err != nil {
			r.b.t.Fatal(err)
		}
		_, _ = w.Write(files[name])
	}
	_ = w.Flush()
	if whole {
		_ = w.Close()
	}
	_ = z.Close()
	return out.Bytes()
}

// signed puts the signature before the data.
func (r *APKRepo) signed(data []byte, key string) []byte {
	r.b.t.Helper()
	sum := sha1.Sum(data)
	signature, err := rsa.SignPKCS1v15(rand.Reader, r.key, crypto.SHA1, sum[:])
	if err != nil {
		r.b.t.Fatal(err)
	}
	return append(r.tarball(map[string][]byte{".SIGN.RSA." + key + ".rsa.pub": signature}, false), data...)
}

// Add builds packages, signed with the key of the given name, and renews the index.
func (r *APKRepo) Add(key string, list ...APK) {
	r.b.t.Helper()
	for _, p := range list {
		data := r.tarball(map[string][]byte{
			"usr/share/" + p.Name + "/version": []byte(p.Version + "\n"),
			"etc/lab/" + p.Name + ".conf":      []byte("setting=" + p.Version + "\n"),
		}, true)
		info := fmt.Sprintf("pkgname = %s\npkgver = %s\npkgdesc = lab\nurl = https://example.invalid\nbuilddate = 1\nsize = %d\narch = x86_64\norigin = %s\nlicense = none\n", p.Name, p.Version, len(data), p.Name)
		for _, d := range p.Depends {
			info += "depend = " + d + "\n"
		}
		for _, line := range p.Head {
			info += line + "\n"
		}
		control := map[string][]byte{".PKGINFO": []byte(info + fmt.Sprintf("datahash = %x\n", sha256.Sum256(data)))}
		if p.Post != "" {
			control[".post-upgrade"] = []byte("#!/bin/sh\n" + p.Post + "\n")
		}
		r.b.Put(fmt.Sprintf("%s/%s-%s.apk", r.path, p.Name, p.Version), append(r.signed(r.tarball(control, false), key), data...))
	}
	r.b.Sh("cd " + r.path + " && apk index -q -o /tmp/index.tar.gz *.apk")
	index := r.b.Run(driver.Command{Argv: []string{"cat", "/tmp/index.tar.gz"}}).Stdout
	r.b.Put(r.path+"/APKINDEX.tar.gz", r.signed(index, key))
}
