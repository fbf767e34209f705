package btrfs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/archive"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

// BenchmarkBesideArchive takes, verifies, restores and deletes snapshots of one
// instance of 25 000 files, on one btrfs: by archive, by btrfs with the tree as
// a directory of a subvolume, and by btrfs with the tree as a subvolume. It
// reports the time of each step, and the ratio of archive's to the two others'.
func BenchmarkBesideArchive(b *testing.B) {
	took := map[string]time.Duration{}
	n := 0
	for ; b.Loop(); n++ {
		for name, d := range map[string]driver.Snapshotter{"archive": archive.New(), "btrfs-directory": New(), "btrfs-subvolume": New()} {
			benchOne(b, name, d, took)
		}
	}
	for _, step := range benchSteps {
		slow := took["archive "+step].Seconds()
		b.ReportMetric(slow/float64(n), "archive-"+step+"-s")
		for _, name := range []string{"btrfs-directory", "btrfs-subvolume"} {
			quick := took[name+" "+step].Seconds()
			b.ReportMetric(quick/float64(n), name+"-"+step+"-s")
			b.ReportMetric(slow/quick, "archive/"+name+"-"+step)
		}
	}
}

var benchSteps = []string{"prepare", "create", "verify", "restore", "delete"}

func benchOne(b *testing.B, name string, d driver.Snapshotter, took map[string]time.Duration) {
	s := hostcopytest.NewSite(b, hostcopytest.Options{Driver: d, Below: filepath.Join(hostcopytest.BtrfsDisk(b, "2G"), "srv"),
		Prepare: func(root string) { hostcopytest.Run(b, "btrfs", "subvolume", "create", root) }})
	if name == "btrfs-subvolume" {
		asSubvolume(b, s)
	}
	content := make([]byte, 6500)
	for i := range 25000 {
		copy(content, fmt.Sprint(i))
		file := filepath.Join(s.Tree, fmt.Sprintf("3rdparty/%d/%d.php", i/100, i))
		if i%100 == 0 {
			s.Must(os.MkdirAll(filepath.Dir(file), 0o755))
		}
		s.Must(os.WriteFile(file, content, 0o644))
	}
	s.Own()
	time.Sleep(3 * time.Second) // let the tree grow older than archive's doubt
	var h driver.Handle
	r := s.Request("bench/1")
	calls := map[string]func() error{
		"prepare": func() error { return d.Prepare(b.Context(), r, s.Runner) },
		"create": func() (err error) {
			h, err = d.Create(b.Context(), r, s.Runner)
			return err
		},
		"verify":  func() error { s.Verify(h); return nil },
		"restore": func() error { return d.Restore(b.Context(), h, s.Subject, s.Runner) },
		"delete":  func() error { return d.Delete(b.Context(), h, s.Runner) },
	}
	for _, step := range benchSteps {
		if step == "restore" {
			s.Write("version.php", "spoiled")
		}
		hostcopytest.Run(b, "sync")
		start := time.Now()
		s.Must(calls[step]())
		took[name+" "+step] += time.Since(start)
	}
}
