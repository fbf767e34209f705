package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImage keeps the disks of a host and puts them back: the system's and the
// data disk.
func TestImage(t *testing.T) {
	f := realFleet(t)
	h := f.host(4)
	const state = "ls -l --time-style=+ /etc/gone /etc/made /srv/gone /srv/made /usr/bin/wc 2>/dev/null; cat /srv/text; true"
	h.exec("sh", "-c", "echo then >/srv/text; touch /etc/gone /srv/gone")
	before := h.exec("sh", "-c", state)
	boot := h.exec("cat", "/proc/sys/kernel/random/boot_id")
	f.verb("image", h.Name, "first")
	if text := f.verb("status"); !strings.Contains(text, "lab-04  running ") {
		t.Errorf("after image:\n%s", text)
	}
	h.exec("sh", "-c", "echo now >/srv/text; rm /etc/gone /srv/gone /usr/bin/wc; touch /etc/made /srv/made")
	if h.exec("sh", "-c", state) == before {
		t.Fatal("nothing has changed: what comes back would prove nothing")
	}
	for range 2 { // an image can be put back more than once
		f.verb("restore-image", h.Name, "first")
		if after := h.exec("sh", "-c", state); after != before {
			t.Errorf("after restore-image:\n%s\nwas\n%s", after, before)
		}
	}
	if now := h.exec("cat", "/proc/sys/kernel/random/boot_id"); now == boot {
		t.Errorf("the boot id is still %s", boot)
	}
	if out, stderr, code := f.ssh(h, "hostname"); code != 0 || out != "lab-04\n" {
		t.Errorf("SSH: code %d, %q, %q", code, out, stderr)
	}
	images, err := h.Images(t.Context())
	if err != nil || len(images) != 1 || images[0].Name != "first" || images[0].Bytes < 1<<20 {
		t.Errorf("images: %+v, %v", images, err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"image", h.Name, "first"}, "has an image first already"},
		{[]string{"image", h.Name, "../first"}, "cannot be the name of an image"},
		{[]string{"restore-image", h.Name, "second"}, `has no image "second"`},
		{[]string{"restore-image", h.Name, "../lab-04"}, "has no image"},
	} {
		var errs bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &errs}
		if code := run(t.Context(), append([]string{"--dir", f.dir}, c.args...), a); code != exitError || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%v: code %d, %q, want %q", c.args, code, errs.String(), c.says)
		}
	}
	// A restore that fails says so, and the next one heals the host.
	f.verb("image", h.Name, "hollow")
	if err := os.RemoveAll(filepath.Join(f.dir, "hosts", h.Name, "images", "hollow", "upper")); err != nil {
		t.Fatal(err)
	}
	if err := h.RestoreImage(t.Context(), "hollow"); err == nil || !strings.Contains(err.Error(), "cannot restore lab-04: cp: ") {
		t.Errorf("restore of a broken image: %v", err)
	}
	f.verb("restore-image", h.Name, "first")
	for _, name := range []string{"first", "hollow"} {
		if err := h.RemoveImage(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.RestoreImage(t.Context(), "first"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("restore of a removed image: %v", err)
	}
	h.within(hostSettles, "its Nextcloud", func() bool {
		site, err := h.Site(t.Context())
		return err == nil && site.Installed
	})
}

// TestImageOfAHungHost: what was frozen stays frozen, and a restore ends that.
func TestImageOfAHungHost(t *testing.T) {
	f := realFleet(t)
	h := f.host(3)
	t.Cleanup(func() { f.verb("thaw", h.Name) })
	f.verb("freeze", h.Name)
	f.verb("image", h.Name, "hung")
	if text := f.verb("status"); !strings.Contains(text, "lab-03  frozen ") {
		t.Errorf("after image:\n%s", text)
	}
	// Whoever is gone meanwhile leaves neither half an image nor a frozen host.
	f.verb("thaw", h.Name)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := h.Image(gone, "alone", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("an image for nobody: %v", err)
	}
	h.within(hostSettles, "the image", func() bool {
		images, err := h.Images(t.Context())
		return err == nil && len(images) == 2
	})
	h.within(hostSettles, "its thaw", func() bool { return strings.Contains(f.verb("status"), "lab-03  running ") })
	f.verb("freeze", h.Name)
	f.verb("restore-image", h.Name, "hung")
	h.within(hostSettles, "its Nextcloud", func() bool {
		site, err := h.Site(t.Context())
		return err == nil && site.Installed
	})
	for _, name := range []string{"hung", "alone"} {
		if err := h.RemoveImage(name); err != nil {
			t.Error(err)
		}
	}
}
