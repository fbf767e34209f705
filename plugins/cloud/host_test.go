package cloud

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestHostScript runs the script on this very machine, in every shell there is.
func TestHostScript(t *testing.T) {
	for _, shell := range []string{"sh", "bash", "busybox"} {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("no %s here", shell)
			continue
		}
		argv := []string{shell, "-s", "--", "mysql", "/", "/usr", "/no such"}
		if shell == "busybox" {
			argv = append([]string{"busybox", "sh"}, argv[1:]...)
		}
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(hostScript)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", shell, err, out)
		}
		f, whole := readHost(string(out))
		if !whole || f.real["/"] != "/" || f.real["/no such"] != "" || f.real["/usr"] == "" {
			t.Errorf("%s: read %+v of\n%s", shell, f.real, out)
		}
		if m, ok := f.on("self", "/"); !ok || m.point != "/" || m.kind == "" {
			t.Errorf("%s: / is on %+v", shell, m)
		}
		if m, ok := f.on("self", "/proc/self"); !ok || m.kind != "proc" {
			t.Errorf("%s: /proc is on %+v", shell, m)
		}
	}
}

const mountsOfSystem = `path	/	/
path	/var/www/nextcloud	/srv/www/nextcloud
path	/srv/data	/srv/data
mount	self	25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
mount	self	26 25 0:20 / /proc rw - proc proc rw
mount	self	30 25 253:0 / /srv rw - xfs /dev/mapper/vg-srv rw
mount	self	31 30 0:50 / /srv/data rw - nfs4 nas.example:/export\040x rw
mount	self	32 25 0:44 /@db /var/lib/mysql rw - btrfs /dev/vdd rw
disk	vda	254:0	83886080				
disk	vda1	254:1	83800000		vda		
disk	vdb	254:16	20971520	0HC_Volume_77			
disk	vdc	254:32	20971520	vol-c			
disk	vdd	254:48	20971520				
disk	dm-0	253:0	41900000			 vdb vdc	
name	vg-srv	dm-0
name	virtio-vol-d	vdd
pool	vdd
server	900	/var/lib/mysql
mount	900	32 25 0:44 /@db /var/lib/mysql rw - btrfs /dev/vdd rw
address	10.0.0.7
end
`

func place(p driver.Part, path string) driver.Place { return driver.Place{Part: p, Path: path} }

func TestLocate(t *testing.T) {
	subject := driver.Subject{Host: "h", DatabaseKind: "mysql", Places: []driver.Place{
		place(driver.PartCode, "/var/www/nextcloud"), place(driver.PartData, "/srv/data"),
		place(driver.PartDatabase, ""), place(driver.PartSystem, "/"), place(driver.PartObjects, ""),
	}}
	all := Machine{ID: "1", Name: "m", Units: []Unit{
		{ID: "boot", Boot: true}, {ID: "b", Serial: "Volume_77"}, {ID: "c", Serial: "VOL-C"}, {ID: "d", Serial: "vol-d"}, {ID: "spare", Serial: "none"}}}
	left := func(id, why string) Machine {
		m := all
		m.Units = append([]Unit(nil), all.Units...)
		for i := range m.Units {
			if m.Units[i].ID == id {
				m.Units[i].Left = why
			}
		}
		return m
	}
	cases := map[string]struct {
		m                      Machine
		host                   string
		units, captured, holes string
	}{
		"all volumes":       {all, "127.0.0.1", "boot b c d", "code database system", "data: lies on a network or user-space file system (nfs4 from nas.example:/export x at /srv/data); objects: objects lie on no disk of the machine"},
		"own address":       {all, "10.0.0.7", "boot b c d", "code database system", "data:"},
		"remote database":   {all, "db.example", "boot b c", "code system", "database: its server is db.example, not a disk of this machine"},
		"a volume left out": {left("c", "attached volumes are not in an image"), "", "boot d", "database system", "code: lies on c (disk vdc): attached volumes are not in an image"},
		"a disk of nobody":  {Machine{ID: "1", Name: "m", Units: all.Units[:3]}, "", "boot b c", "code system", "database: its data directory /var/lib/mysql lies on disk vdd, which is none of the volumes that the provider shows of machine m"},
		"a whole machine":   {Machine{Units: []Unit{{ID: "image", Whole: true, Boot: true}, {ID: "b", Serial: "volume_77", Left: "independent"}}}, "", "image", "database system", "code: lies on b (disk vdb): independent"},
	}
	for name, c := range cases {
		f, whole := readHost(mountsOfSystem)
		if !whole {
			t.Fatal("the facts are cut")
		}
		l := newLook(f, c.m, subject)
		l.server = server{host: c.host}
		got := l.all()
		var units, captured, holes []string
		for _, u := range got.units {
			units = append(units, u.ID)
		}
		for _, p := range got.captured {
			captured = append(captured, string(p.Part))
		}
		for _, h := range got.holes {
			holes = append(holes, string(h.Place.Part)+": "+h.Reason)
		}
		if strings.Join(units, " ") != c.units || strings.Join(captured, " ") != sorted(c.captured, subject) || !strings.Contains(strings.Join(holes, "; "), c.holes) {
			t.Errorf("%s:\nunits %v, want %s\ncaptured %v, want %s\nholes %q, want %s", name, units, c.units, captured, c.captured, holes, c.holes)
		}
	}
}

// sorted puts parts into the order of the subject's places.
func sorted(parts string, s driver.Subject) string {
	var out []string
	for _, p := range s.Places {
		if slices.Contains(strings.Fields(parts), string(p.Part)) {
			out = append(out, string(p.Part))
		}
	}
	return strings.Join(out, " ")
}

func TestLocateOtherProblems(t *testing.T) {
	subject := driver.Subject{Host: "h", DatabaseKind: "pgsql", Places: []driver.Place{place(driver.PartCode, "/gone"), place(driver.PartConfig, "/tmp/x"), place(driver.PartDatabase, "")}}
	f, _ := readHost("path\t/gone\t\npath\t/tmp/x\t/tmp/x\nmount\tself\t1 0 0:9 / / rw - overlay overlay rw\nmount\tself\t2 1 0:10 / /tmp rw - tmpfs tmpfs rw\nend\n")
	got := newLook(f, Machine{Name: "m", Units: []Unit{{ID: "b", Boot: true}}}, subject).all()
	want := []string{"it is not on the host", "lies in memory (tmpfs at /tmp)", "no database server runs on the host"}
	if len(got.holes) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, w := range want {
		if !strings.Contains(got.holes[i].Reason, w) {
			t.Errorf("hole %d is %q, want %q", i, got.holes[i].Reason, w)
		}
	}
	// A container's layers are on the unit that the provider mounts there.
	container := Machine{Name: "m", Units: []Unit{{ID: "b", Boot: true, Whole: true, Mounts: []string{"/"}}}}
	if got := newLook(f, container, driver.Subject{}).all(); len(got.captured) != 1 || got.captured[0].Part != driver.PartSystem {
		t.Errorf("of a container whose root the provider mounts, captured is %+v, missing %+v", got.captured, got.holes)
	}
	container.Units[0].Left = "it is a scratch disk"
	part := driver.Subject{Places: []driver.Place{place(driver.PartSystem, "/")}}
	if got := newLook(f, container, part).all(); len(got.holes) != 1 || got.holes[0].Reason != "lies on b (mounted at /): it is a scratch disk" {
		t.Errorf("of a unit that is left out: %+v", got)
	}
	for _, cut := range []string{"", "end", "disk\tx\nmount\tself\tx\nserver\t\n", mountsOfSystem[:len(mountsOfSystem)-5]} {
		if f, whole := readHost(cut); whole != (cut == "end") {
			t.Errorf("%q is whole: %v %+v", cut, whole, f)
		}
	}
}
