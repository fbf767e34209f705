package survey

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// fpmSays is what php-fpm -i prints, as far as it matters.
const fpmSays = `#!/bin/sh
[ "$*" = -i ] || { echo "PHP 8.2.7 (fpm-fcgi)"; exit 0; }
cat <<'X'
PHP Version => 8.2.7
Scan this dir for additional .ini files => /etc/php.d
memory_limit => 128M => 128M
opcache.enable => On => On
opcache.enable_cli => Off => Off
opcache.revalidate_freq => 60 => 60
opcache.validate_timestamps => On => On
X
`

// TestFPM reads the files of a running PHP-FPM: what a pool sets goes before
// php.ini, and a pool is found by its user where it has no process.
func TestFPM(t *testing.T) {
	for name, argv := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFakeHost(t)
			h.remote.argv = argv
			write(t, h.root+"/sbin/php-fpm", fpmSays, 0o755)
			if err := os.Symlink(h.root+"/sbin/php-fpm", h.root+"/proc/90/exe"); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(h.root + "/proc/91"); err != nil {
				t.Fatal(err)
			}
			h.host.Instances[0].WebUser = "apache"
			write(t, h.root+"/etc/php-fpm.conf", "; include = /etc/nothing\n[global]\npid = /run/x\ninclude=/etc/pool.d/*.conf\n", 0o644)
			pool := filepath.Join(h.root, "etc/pool.d/www.conf")
			write(t, h.root+"/etc/pool.d/other.conf", "[other]\nuser = other\nphp_value[memory_limit] = 1M\n", 0o644)
			for text, want := range map[string]*plan.WebPHP{
				"user = nobody\n": nil,
				"user = apache ; the web\n;php_value[x] = 1\n": {MemoryLimit: "128M", Opcache: true, ChecksFiles: true, RecheckSeconds: 60},
				"user = $pool\n": nil,
				"user=\"apache\"\nphp_admin_value[memory_limit] = 512M\nphp_admin_flag[opcache.validate_timestamps] = off\n": {MemoryLimit: "512M", PoolSetsMemory: true, Opcache: true, RecheckSeconds: 60},
			} {
				write(t, pool, "[www]\n"+text, 0o644)
				f := Take(context.Background(), Request{Host: h.host, Remote: h.remote, Now: noon})
				if want != nil {
					want.PoolFile, want.ScanDir = "/etc/pool.d/www.conf", "/etc/php.d"
				}
				if got := f.Instance("files"); got == nil || !reflect.DeepEqual(got.PHP.FPM, want) {
					t.Errorf("%q is read as %+v, want %+v", text, got.PHP.FPM, want)
				}
			}
		})
	}
}

// TestFPMSeveral: pools of one user that differ tell nothing.
func TestFPMSeveral(t *testing.T) {
	r := &reader{web: web{masters: []fpmMaster{{pid: 1}, {pid: 2}}}, parts: map[string]output{"fpm": {out: []byte(
		"ini\t1\tmemory_limit\t512M\npool\t1\t/a\twww\tuser\tweb\nini\t2\tmemory_limit\t128M\npool\t2\t/a\twww\tuser\tweb\n")}}}
	r.fpmConfs()
	if got := r.webPHP("web", ""); got != nil {
		t.Errorf("%+v", got)
	}
	r.web.masters = r.web.masters[:1]
	if got := r.webPHP("web", "256M"); got == nil || got.MemoryLimit != "256M" {
		t.Errorf("a .user.ini goes before php.ini, got %+v", got)
	}
}
