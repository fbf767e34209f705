package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// bulk fills the tree with as many files as a real one with apps has.
const bulk = `mkdir -p /srv/nextcloud/html/3rdparty/bulk && cd /srv/nextcloud/html/3rdparty/bulk &&
perl -e 'for my $d (1..60) { mkdir $d; for my $f (1..100) { open(my $o, ">", "$d/$f.php"); print $o "<?php // $d/$f\n", rand() x 800; close $o } }' &&
chown -R www-data: . && sync -f . && du -sm /srv/nextcloud/html | cut -f 1`

// describe writes into /root/$1.files each entry of the tree (mode, owner, size,
// link, content) and into /root/$1.rows the whole database.
const describe = `cd /srv/nextcloud/html && {
	find . -printf '%p %y %m %U:%G %l\n' | sort
	find . -type f -print0 | sort -z | xargs -0 sha256sum
} >/root/$1.files
mariadb-dump --skip-comments --skip-dump-date --skip-extended-insert --order-by-primary nextcloud |
	sed 's/ AUTO_INCREMENT=[0-9]*//' >/root/$1.rows
wc -l </root/$1.files; wc -l </root/$1.rows`

// TestBtrfsRollback: an upgrade that fails is taken back by a snapshot of btrfs;
// with NCFLEET_LAB_FULL then by the driver archive on the same host too, to
// compare their times. After either, every file and every row is as before.
func TestBtrfsRollback(t *testing.T) {
	t.Parallel()
	took := map[string][3]float64{}
	drivers := []string{"btrfs"}
	if full {
		drivers = append(drivers, "archive") // to compare the times
	}
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			s := (&scene{fleet: btrfs.bring(t), dir: t.TempDir()}).open(play{seconds: 1, snapshot: driver, more: "  failures { budget = 1 }"})
			size := s.host.exec("sh", "-c", bulk)
			// What the controller sets and takes back is there before as well.
			s.occ("maintenance:mode", "--on")
			s.occ("maintenance:mode", "--off")
			s.occ("config:system:set", "standin_fail_app", "--value=text")
			s.wait(time.Minute, "writes of the client", func() bool {
				book, err := os.ReadFile(filepath.Join(s.dir, "book"))
				return err == nil && bytes.Count(book, []byte(`"acknowledged":true`)) > 5
			})
			s.closeLedger()
			// Background jobs write between this look and the closing, and after
			// the opening: that is no matter of the rollback.
			s.host.exec("sh", "-c", `systemctl stop cron; while pgrep -f '[c]ron\.php' >/dev/null; do sleep 0.1; done`)
			lines := strings.Fields(s.host.exec("sh", "-c", describe, "sh", "before"))
			if n, err := strconv.Atoi(lines[1]); err != nil || n < 300 {
				t.Fatalf("the dump has %s lines: it would prove nothing", lines[1])
			}
			_, out := s.apply().ends(5*time.Minute, 0)
			if !strings.Contains(out, "rolled back") {
				t.Errorf("it was not rolled back:\n%s", out)
			}
			s.host.exec("sh", "-c", describe, "sh", "after")
			for _, what := range []string{"files", "rows"} {
				if got := s.host.exec("sh", "-c", "diff /root/before."+what+" /root/after."+what+" | head -n 20"); got != "" {
					t.Errorf("%s differ:\n%s", what, got)
				}
			}
			s.is("28.0.2")
			s.once()
			s.readLedger()
			took[driver] = [3]float64{s.seconds("prepare"), s.seconds("snapshot"), s.seconds("undo-restore")}
			s.tell("%s lines of files (%s MB) and %s of dump as before; %s", lines[0], size, lines[1], said(out, "hop", "undo-restore", "rolled back"))
		})
	}
	if len(took) < 2 {
		return // skipped or failed, which is said above, or not asked for
	}
	for i, step := range []string{"prepare (users in)", "snapshot (users out)", "restore (users out)"} {
		b, a := took["btrfs"][i], took["archive"][i]
		fmt.Printf("lab: %s: %.2f s by btrfs, %.2f s by archive, %.1f times\n", step, b, a, a/b)
	}
}

// seconds is how long the step of a kind took, 0 when it has not succeeded.
func (s *scene) seconds(kind string) float64 {
	return s.step(s.host, kind, rollout.EventStepDone).Seconds
}
