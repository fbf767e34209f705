package aws

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud"
)

// fakeEC2 is a small EC2 with disks that have contents. Its objects change
// slowly, its lists run late, and it refuses what EC2 refuses; faults come from
// the fail hook.
type fakeEC2 struct {
	*httptest.Server
	mu        sync.Mutex
	n         int
	instances []*fakeInstance
	volumes   []*fakeVolume
	snapshots []*fakeSnapshot
	tokens    map[string]*fakeVolume
	calls     map[string]int

	slow int             // looks until a change is through
	late int             // lists that do not show a new object
	deny map[string]bool // actions that the credentials may not call
	// fail decides the fate of a call, under the lock: "" none, "lost" done but
	// its answer cut off, "500", "503" before it is done, else the code of an error.
	fail func(action string, n int) string
}

type object struct {
	id    string
	tags  map[string]string
	made  time.Time
	state string
	looks int    // until then
	then  string // the state that follows
	late  int
}

type fakeInstance struct {
	object
	name      string
	launch    time.Time
	address   string
	extra     string            // XML
	terminate map[string]bool   // by device
	at        map[string]string // device to volume
}

type fakeVolume struct {
	object
	content, kind    string
	iops, throughput string
	gib              int
	from             string
	instance, device string
	attachment       string
	also             string // a second instance
}

type fakeSnapshot struct {
	object
	volume, content string
	gib             int
}

const rootDevice = "/dev/sda1"

// newFake has one instance with a root and a data volume, and a second one that
// nothing may touch.
func newFake(t testing.TB) *fakeEC2 {
	f := &fakeEC2{tokens: map[string]*fakeVolume{}, calls: map[string]int{}, deny: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	for i, name := range []string{"cloud-07", "cloud-08"} {
		m := &fakeInstance{object: object{id: fmt.Sprintf("i-0000000000000000%d", i), state: "running", tags: map[string]string{"Name": name}, made: time.Now()},
			name: name, launch: time.Now().Add(-time.Hour), address: fmt.Sprintf("10.0.0.%d", 7+i), at: map[string]string{}, terminate: map[string]bool{}}
		f.instances = append(f.instances, m)
		for _, v := range []*fakeVolume{{content: name + " root", kind: "gp3", iops: "3000", throughput: "125", gib: 8, device: rootDevice}, {content: name + " data", kind: "io2", iops: "9000", gib: 100, device: "/dev/sdf"}} {
			v.object = object{id: f.id("vol"), state: "in-use", tags: map[string]string{"Name": name + v.device, "team": "blue"}, made: time.Now()}
			v.instance, v.attachment = m.id, "attached"
			m.at[v.device], m.terminate[v.device] = v.id, v.device == rootDevice
			f.volumes = append(f.volumes, v)
		}
	}
	return f
}

func (f *fakeEC2) id(kind string) string {
	f.n++
	return fmt.Sprintf("%s-%017x", kind, f.n)
}

// change makes the object pass through a state.
func (f *fakeEC2) change(o *object, through, then string) {
	if f.slow == 0 {
		o.state, o.looks, o.then = then, 0, ""
		return
	}
	o.state, o.looks, o.then = through, f.slow, then
}

// look lets time pass for an object that somebody reads.
func (o *object) look() {
	if o.then == "" {
		return
	}
	if o.looks--; o.looks < 0 {
		o.state, o.then = o.then, ""
	}
}

func (o *object) shown() bool {
	o.late--
	return o.late < 0
}

func (f *fakeEC2) instance(id string) *fakeInstance {
	for _, i := range f.instances {
		if i.id == id {
			return i
		}
	}
	return nil
}

func (f *fakeEC2) volume(id string) *fakeVolume {
	for _, v := range f.volumes {
		if v.id == id {
			return v
		}
	}
	return nil
}

// state describes all that a restore may not lose, and the other instance.
func (f *fakeEC2) state(t testing.TB) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, i := range f.instances {
		if i.then != "" {
			i.state, i.then = i.then, ""
		}
		fmt.Fprintf(&b, "%s %s %s\n", i.name, i.state, i.address)
		devices := make([]string, 0, len(i.at))
		for d := range i.at {
			devices = append(devices, d)
		}
		slices.Sort(devices)
		for _, d := range devices {
			v := f.volume(i.at[d])
			if v.instance != i.id || v.state != "in-use" || v.attachment != "attached" {
				t.Errorf("volume %s at %s of %s is %s, attachment %s to %s", v.id, d, i.id, v.state, v.attachment, v.instance)
			}
			fmt.Fprintf(&b, "  %s %q %s %d GiB iops=%s throughput=%s terminate=%v team=%s\n", d, v.content, v.kind, v.gib, v.iops, v.throughput, i.terminate[d], v.tags["team"])
		}
	}
	return b.String()
}

// write changes the contents of the first instance's disks.
func (f *fakeEC2) write(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.instances[0].at {
		f.volume(id).content += text
	}
}

// kept counts what bears a key.
func (f *fakeEC2) kept(key string) (snapshots, volumes int) {
	f.alone(func() {
		for _, s := range f.snapshots {
			if s.tags[cloud.TagKey] == key {
				snapshots++
			}
		}
		for _, v := range f.volumes {
			if v.tags[cloud.TagKey] == key {
				volumes++
			}
		}
	})
	return snapshots, volumes
}

func (f *fakeEC2) counted(action string) (n int) {
	f.alone(func() { n = f.calls[action] })
	return n
}

// alone runs alone.
func (f *fakeEC2) alone(run func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	run()
}

// left lists volumes that are attached to nothing, and snapshots.
func (f *fakeEC2) left() (volumes, snapshots []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.volumes {
		if v.instance == "" {
			volumes = append(volumes, v.id)
		}
	}
	for _, s := range f.snapshots {
		snapshots = append(snapshots, s.id)
	}
	return volumes, snapshots
}

func (f *fakeEC2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	q := query{r.PostForm}
	action := q.Get("Action")
	fate := ""
	if q.Get("DryRun") != "true" {
		f.calls[action]++
		if f.fail != nil {
			fate = f.fail(action, f.calls[action])
		}
	}
	switch fate {
	case "500", "503":
		code := http.StatusInternalServerError
		if fate == "503" {
			code = http.StatusServiceUnavailable
		}
		w.WriteHeader(code)
		fmt.Fprint(w, "<html>the gateway is busy</html>")
		return
	case "", "lost":
	default:
		refuse(w, fate, "by the test")
		return
	}
	if !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIAGOOD/") {
		refuse(w, "AuthFailure", "AWS was not able to validate the provided access credentials")
		return
	}
	if f.deny[action] {
		refuse(w, "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: kHWKJ0oq")
		return
	}
	if q.Get("DryRun") == "true" {
		w.WriteHeader(http.StatusPreconditionFailed)
		fmt.Fprint(w, errorXML("DryRunOperation", "Request would have succeeded, but DryRun flag is set."))
		return
	}
	body, code := f.do(action, q)
	if code != "" {
		refuse(w, code, body)
		return
	}
	if fate == "lost" {
		panic(http.ErrAbortHandler) // done, and the connection breaks
	}
	fmt.Fprintf(w, `<?xml version="1.0"?><%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>%s</%sResponse>`, action, body, action)
}

func refuse(w http.ResponseWriter, code, message string) {
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(w, errorXML(code, message))
}

func errorXML(code, message string) string {
	return fmt.Sprintf("<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r</RequestID></Response>", code, message)
}
