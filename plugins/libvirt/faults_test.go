package libvirt

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// fault is what the proxy does to one call of libvirt's protocol.
type fault string

const (
	before fault = "connection lost before" // the daemon never sees the call
	lost   fault = "answer lost after"      // the call had its effect
	cut    fault = "answer cut after"       // half of it arrives
	busy   fault = "refused as busy"        // "cannot acquire state change lock"
	slow   fault = "slow answer"
)

// procedures are the calls that the driver makes, by the protocol's numbers.
var procedures = map[uint32]string{1: "ConnectOpen", 14: "GetXMLDesc", 12: "Destroy", 9: "Create", 66: "AuthList", 60: "ConnectSupportsFeature",
	185: "SnapshotCreateXML", 186: "SnapshotGetXMLDesc", 191: "SnapshotCurrent", 192: "RevertToSnapshot", 193: "SnapshotDelete",
	151: "IsPersistent", 163: "GetJobInfo", 194: "GetBlockInfo", 212: "GetState", 273: "ListAllDomains", 274: "ListAllSnapshots"}

// proxy stands between the driver and the daemon and spoils one call.
type proxy struct {
	mu    sync.Mutex
	calls []string
	at    int // which call since the last reset, from 0; -1 none
	fault fault
	hit   bool
}

func (d *daemon) proxied(t *testing.T) (*proxy, driver.Config) {
	t.Helper()
	path := filepath.Join(filepath.Dir(d.socket), "proxy")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{at: -1}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c, d.socket)
		}
	}()
	config := d.config()
	config["uris"] = []string{"test+unix:///default?" + url.Values{"socket": {path}}.Encode()}
	return p, config
}

// set arms the proxy for the nth call from now on.
func (p *proxy) set(at int, f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.at, p.fault, p.hit = nil, at, f, false
}

func (p *proxy) seen() ([]string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.calls...), p.hit
}

// next notes a call and tells what to do with it.
func (p *proxy) next(procedure uint32) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, ok := procedures[procedure]
	if !ok {
		name = fmt.Sprint("procedure ", procedure)
	}
	p.calls = append(p.calls, name)
	if len(p.calls)-1 != p.at {
		return ""
	}
	p.hit = true
	return p.fault
}

// serve passes on one connection, a call and its answer at a time.
func (p *proxy) serve(client net.Conn, socket string) {
	defer func() { _ = client.Close() }()
	daemon, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer func() { _ = daemon.Close() }()
	for {
		call, err := packet(client)
		if err != nil {
			return
		}
		f := p.next(binary.BigEndian.Uint32(call[12:]))
		switch f {
		case before:
			return
		case busy:
			_, _ = client.Write(refused(call))
			continue
		}
		if _, err := daemon.Write(call); err != nil {
			return
		}
		answer, err := packet(daemon)
		if err != nil || f == lost {
			return
		}
		if f == slow {
			time.Sleep(30 * time.Millisecond)
		}
		if f == cut {
			_, _ = client.Write(answer[:len(answer)/2])
			return
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

// packet reads one whole packet: its length, then that much.
func packet(r io.Reader) ([]byte, error) {
	length := make([]byte, 4)
	if _, err := io.ReadFull(r, length); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length)
	if n < 28 || n > 64<<20 {
		return nil, fmt.Errorf("a packet of %d bytes", n)
	}
	all := make([]byte, n)
	copy(all, length)
	_, err := io.ReadFull(r, all[4:])
	return all, err
}

// refused answers a call as a busy daemon does.
func refused(call []byte) []byte {
	const message = "Timed out during operation: cannot acquire state change lock"
	var b []byte
	word := func(n uint32) { b = binary.BigEndian.AppendUint32(b, n) }
	b = append(b, make([]byte, 4)...)
	b = append(b, call[4:16]...)              // program, version, procedure
	word(1)                                   // a reply
	b = append(b, call[20:24]...)             // to that serial number
	word(1)                                   // which is an error
	word(uint32(libvirt.ErrOperationTimeout)) // code
	word(10)                                  // domain: QEMU
	word(1)
	word(uint32(len(message)))
	b = append(b, message...)
	b = append(b, make([]byte, (4-len(message)%4)%4)...)
	for _, n := range []uint32{2, 0, 0, 0, 0, 0, 0, 0} { // level, domain, three texts, two numbers, network
		word(n)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

var phases = []string{"create", "verify", "restore", "delete"}

// story is one snapshot's life through the proxy.
type story struct {
	*daemon
	proxy  *proxy
	config driver.Config
	n      int
}

// live takes, proves, restores and deletes a snapshot; one call of one phase is
// spoiled. It returns what each phase called and how the spoiled one went.
func (s *story) live(t *testing.T, in string, at int, f fault) (calls map[string][]string, told string) {
	t.Helper()
	d := New()
	s.proxy.set(-1, "")
	if err := d.Configure(t.Context(), s.config); err != nil {
		t.Fatal(err)
	}
	s.n++
	key := fmt.Sprintf("faults/%03d", s.n)
	was := s.state(t)
	calls = map[string][]string{}
	var h driver.Handle
	for _, phase := range phases {
		boots := s.boots(t)
		if phase == "restore" {
			s.change(t)
		}
		s.proxy.set(-1, "")
		if phase == in {
			s.proxy.set(at, f)
		}
		said := s.perform(t, d, phase, key, &h)
		var hit bool
		calls[phase], hit = s.proxy.seen()
		if phase == in {
			told = fmt.Sprintf("%s, %d calls", said, len(calls[phase]))
			if !hit {
				told = "not reached"
			}
		}
		s.proxy.set(-1, "")
		want := 1
		if phase == "delete" {
			want = 0
		}
		if n, _ := s.kept(t, key); n != want {
			t.Errorf("after %s: %d snapshots of the key, want %d", phase, n, want)
		}
		if now := s.state(t); now != was {
			t.Errorf("after %s the machine is %s, before %s", phase, now, was)
		}
		if phase == "restore" && s.boots(t) == boots {
			t.Error("restore did not restart the machine")
		}
	}
	return calls, told
}

// perform does one phase, again while it fails as Retryable, as the controller
// does.
func (s *story) perform(t *testing.T, d driver.Snapshotter, phase, key string, h *driver.Handle) string {
	t.Helper()
	for try := 1; ; try++ {
		var err error
		switch phase {
		case "create":
			*h, err = d.Create(t.Context(), driver.SnapshotRequest{Key: key, Subject: s.subject()}, s.host)
		case "verify":
			var v driver.Verification
			if v, err = d.Verify(t.Context(), *h, s.host); err == nil && !v.Verified {
				t.Errorf("it does not verify: %+v", v)
			}
		case "restore":
			err = d.Restore(t.Context(), *h, s.subject(), s.host)
		case "delete":
			err = d.Delete(t.Context(), *h, s.host)
		}
		switch {
		case err == nil && try == 1:
			return "absorbed"
		case err == nil:
			return fmt.Sprintf("retryable, done at try %d", try)
		case driver.ClassOf(err) != driver.Retryable || try == 4:
			t.Fatalf("%s, try %d: class %s: %v", phase, try, driver.ClassOf(err), err)
		}
	}
}

// TestFaults spoils every call of a snapshot's life, and prints what happened.
// The protocol has no rate limits and no gateways. Every way takes minutes on a
// busy machine, so that the everyday run has the telling ones.
func TestFaults(t *testing.T) {
	kinds := []fault{lost, busy}
	if os.Getenv("NCFLEET_FAULTS") == "all" {
		kinds = []fault{before, lost, cut, busy, slow}
	}
	d := newDaemon(t)
	p, config := d.proxied(t)
	s := &story{daemon: d, proxy: p, config: config}
	plain, _ := s.live(t, "", -1, "")
	if t.Failed() {
		return
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "phase\tcall\tfault\twhat happened")
	n := 0
	for _, phase := range phases {
		for at, call := range plain[phase] {
			for _, f := range kinds {
				t.Run(fmt.Sprintf("%s/%d %s/%s", phase, at+1, call, f), func(t *testing.T) {
					_, told := s.live(t, phase, at, f)
					n++
					fmt.Fprintf(w, "%s\t%d %s\t%s\t%s\n", phase, at+1, call, f, told)
				})
			}
		}
	}
	_ = w.Flush()
	t.Logf("\n%s%d injections", b.String(), n)
}
