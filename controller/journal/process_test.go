package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// childDir makes the test binary a process that writes the journal there.
const childDir = "NCFLEET_TEST_JOURNAL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := write(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// write appends events without end and prints each sequence number that the
// journal acknowledged.
func write(dir string) error {
	j, err := OpenToWrite(dir)
	if err != nil {
		return err
	}
	fmt.Println("0")
	for {
		e, err := j.Append("r", rollout.Event{At: time.Now(), Kind: rollout.EventStepDone, Step: "canary/cloud-01/hop", Detail: strings.Repeat("x", rand.Intn(3000))})
		if err != nil {
			return err
		}
		fmt.Println(e.Seq)
	}
}

// child starts a writing process and returns once it holds the lock.
func child(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, "SUDO_USER=anna")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s := bufio.NewScanner(out)
	if !s.Scan() || s.Text() != "0" {
		t.Fatalf("the writing process did not begin: %q", s.Text())
	}
	return cmd, s
}

func TestOneWriter(t *testing.T) {
	j, dir := created(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if free, err := Free(dir); err != nil || !free {
		t.Errorf("free %v, %v before anybody writes", free, err)
	}
	cmd, _ := child(t, dir)
	_, err := OpenToWrite(dir)
	var locked *Locked
	if !errors.As(err, &locked) {
		t.Fatalf("a second writer: %v", err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	h := locked.Holder
	if h.User != "anna" || h.Host != host || h.PID != cmd.Process.Pid || time.Since(h.Since) > time.Hour || h.Since.After(time.Now()) {
		t.Errorf("holder %+v", h)
	}
	for _, part := range []string{"anna", host, strconv.Itoa(cmd.Process.Pid), h.Since.Format(time.RFC3339), filepath.Join(dir, "lock"), "wait for it"} {
		if !strings.Contains(locked.Error(), part) {
			t.Errorf("%q does not name %q", locked.Error(), part)
		}
	}
	if free, err := Free(dir); err != nil || free {
		t.Errorf("free %v, %v while another process writes", free, err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatalf("a reader beside the writer: %v", err)
	}
	defer r.Close()
	if _, err := r.Ask("r", rollout.Event{At: t0, Kind: rollout.EventPaused}); err != nil {
		t.Errorf("a request beside the writer: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	j, err = OpenToWrite(dir)
	if err != nil {
		t.Fatalf("the lock outlived its holder: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// TestAcknowledgedEventsOutliveTheKill kills the writing process twelve times.
func TestAcknowledgedEventsOutliveTheKill(t *testing.T) {
	j, dir := created(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := int64(0)
	for round := range 12 {
		cmd, out := child(t, dir)
		go func() {
			time.Sleep(time.Duration(5+rand.Intn(60)) * time.Millisecond)
			_ = cmd.Process.Kill()
		}()
		for out.Scan() {
			n, err := strconv.ParseInt(out.Text(), 10, 64)
			if err != nil {
				break // cut by the kill
			}
			acknowledged = n
		}
		_ = cmd.Wait() // it was killed
		j, err := OpenToWrite(dir)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		events, err := j.Events("r", 0)
		if err != nil || int64(len(events)) < acknowledged {
			t.Fatalf("round %d: %d events of %d acknowledged, %v", round, len(events), acknowledged, err)
		}
		var check string
		if err := j.db.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
			t.Errorf("round %d: %s %v", round, check, err)
		}
		acknowledged = int64(len(events))
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
	if acknowledged < 12 {
		t.Errorf("only %d events in 12 rounds: the test proves nothing", acknowledged)
	}
}

// readWhole opens a journal as a writer does and reads everything.
func readWhole(dir string) ([]rollout.Event, error) {
	j, err := OpenToWrite(dir)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	if _, err := j.Plan("r"); err != nil {
		return nil, err
	}
	return j.Events("r", 0)
}

// damageCase copies a journal, spoils the copy, and reads it back.
func damageCase(t *testing.T, whole []byte, n int, name string, spoil func([]byte) []byte) error {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), spoil(append([]byte(nil), whole...)), 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := readWhole(dir)
	if err == nil && len(events) != n {
		t.Errorf("%s: %d of %d events were taken for the whole", name, len(events), n)
	}
	if err == nil {
		for i, e := range events {
			if e.Step != fmt.Sprintf("canary/cloud-%05d/close", i) {
				t.Errorf("%s: event %d is of %s", name, e.Seq, e.Step)
			}
		}
	}
	if err != nil && (!strings.Contains(err.Error(), dir) && !strings.Contains(err.Error(), "of r") && !strings.Contains(err.Error(), "rollout r")) {
		t.Errorf("%s: the error does not say what is damaged: %v", name, err)
	}
	return err
}

func TestDamageIsNoticed(t *testing.T) {
	const n = 300
	j, dir := created(t)
	appendN(t, j, n)
	if err := j.Close(); err != nil { // the write-ahead log goes into the file
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, FileName+"-wal")); err == nil {
		t.Fatal("the log is still there: the file is not whole")
	}
	if err := damageCase(t, whole, n, "untouched", func(b []byte) []byte { return b }); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewSource(1))
	cuts := []int{0, 1, 15, 16, 99, 100, 4095, 4096, 4097, 8192, len(whole) / 2, len(whole) - 4096, len(whole) - 1}
	for range 30 {
		cuts = append(cuts, rnd.Intn(len(whole)))
	}
	for _, at := range cuts {
		name := fmt.Sprintf("cut at %d of %d", at, len(whole))
		if err := damageCase(t, whole, n, name, func(b []byte) []byte { return b[:at] }); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	noticed := 0
	for range 150 {
		at, bit := rnd.Intn(len(whole)), byte(1)<<rnd.Intn(8)
		if err := damageCase(t, whole, n, fmt.Sprintf("bit %d flipped at %d", bit, at), func(b []byte) []byte { b[at] ^= bit; return b }); err != nil {
			noticed++
		}
	}
	if noticed < 75 { // the rest lies in pages' unused parts
		t.Errorf("%d of 150 flipped bits were noticed", noticed)
	}
	for range 30 {
		at := rnd.Intn(len(whole) - 512)
		damageCase(t, whole, n, fmt.Sprintf("512 zero bytes at %d", at), func(b []byte) []byte { clear(b[at : at+512]); return b })
	}
}
