package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/notify"
	"github.com/ncfleet/ncfleet/controller/sim"
)

// story is a fleet whose clock the test moves, and what it hears by webhook.
type story struct {
	*fleet
	clock string
	mu    sync.Mutex
	heard []notify.Message
}

// at sets the clock of every ncfleet that runs, and of those to come.
func (s *story) at(t time.Time) {
	s.Helper()
	whole := s.clock + ".new" // a process never reads half a file
	if err := os.WriteFile(whole, []byte(time.Until(t).String()), 0o600); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(whole, s.clock); err != nil {
		s.Fatal(err)
	}
}

// says runs one command at the story's time.
func (s *story) says(code int, args []string, want ...string) string {
	s.Helper()
	p := s.start(args...)
	p.ends(code, want...)
	return p.text()
}

func (s *story) hear(w http.ResponseWriter, r *http.Request) {
	var m notify.Message
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		s.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, m)
}

// told is all messages as people read them.
func (s *story) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, m := range s.heard {
		fmt.Fprintf(&b, "%s  [%s]\n%s\n\n", m.At.Format("2006-01-02 15:04:05 MST"), m.Occasion, m.Plain())
	}
	return b.String()
}

func newStory(t *testing.T) *story {
	s := &story{fleet: newFleet(t, 3, sim.UpgradeFails)}
	s.clock = filepath.Join(s.Dir, "clock")
	s.env = []string{"TEST_CLOCK=" + s.clock}
	hook := httptest.NewServer(http.HandlerFunc(s.hear))
	t.Cleanup(hook.Close)
	s.edit(s.file, `wave "canary" {`, "window {\n    days = [\"last fri\"]\n    from = \"22:00\"\n    to   = \"02:00\"\n    zone = \"Europe/Berlin\"\n  }\n  wave \"canary\" {\n    approvals       = 2\n    approve_expires = \"12h\"")
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	block := fmt.Sprintf("\nnotify \"webhook\" \"ops\" {\n  url = %q\n  on  = [\"start\", \"wave\", \"decision\", \"answer\", \"wait\", \"end\"]\n}\n", hook.URL)
	if err := os.WriteFile(s.file, append(text, block...), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStoryToldByNotificationsAndReport carries out a rollout with a window,
// two approvals, a pause over the death of its controller and a canary that
// fails. Its notifications alone, and its report alone, must tell all of it.
func TestStoryToldByNotificationsAndReport(t *testing.T) {
	s := newStory(t)
	friday := time.Date(2026, 11, 27, 19, 30, 0, 0, time.UTC)
	s.at(friday)
	p := s.start("apply", "--rollout", "monthly", "--yes")
	p.sees("waits for approval by 2 people")
	s.says(exitOK, []string{"approve", "--wave", "canary", "--as", "Anna"}, "1 of 2 approvals; somebody else must approve too")
	s.says(exitOK, []string{"approve", "--wave", "canary", "--as", "anna"}, "1 of 2 approvals")
	s.says(exitError, []string{"approve", "--wave", "canary", "--as", "Ben", "--digest", "0123456789ab"}, "the approval is for plan 0123456789ab, and this rollout carries out plan")
	s.says(exitOK, []string{"status"}, "approved", "by anna (", "1 of 2, counts until 2026-11-28 07:30", "approval by one more person")
	s.at(friday.Add(20 * time.Minute))
	s.says(exitOK, []string{"approve", "--wave", "canary", "--as", "Ben", "--reason", "change 4711"}, "2 of 2 approvals")
	p.sees("the window is closed until Fri 2026-11-27 22:00 CET")
	s.at(friday.Add(40 * time.Minute))
	s.says(exitOK, []string{"pause", "--reason", "the storage team asked for half an hour"}, "paused")
	p.sees("paused by ")
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait() // killed
	s.says(exitOK, []string{"status"}, "is paused", "NONE RUNS", "the storage team asked for half an hour")
	s.at(friday.Add(70 * time.Minute))
	p = s.start("resume")
	p.sees("the window is closed until Fri 2026-11-27 22:00 CET")
	s.at(friday.Add(90 * time.Minute)) // 22:00 in Berlin
	p.ends(exitHalted, "cloud-01 rolled back", "0 upgraded, 1 rolled back, 0 failed, 2 untouched")
	report := s.says(exitOK, []string{"status"})
	s.tellsAll("the report", report)
	s.tellsAll("the notifications", s.told())
	s.tellsPrograms(s.says(exitOK, []string{"status", "--output", "json"}))
	if dir := os.Getenv("NCFLEET_STORY"); dir != "" { // to be read by people
		for name, text := range map[string]string{"story-notifications.txt": s.told(), "story-report.txt": report} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// tellsAll looks in a text for what somebody who was not there has to know.
func (s *story) tellsAll(what, text string) {
	s.Helper()
	text = strings.Join(strings.Fields(text), " ")
	for fact, pattern := range map[string]string{
		"what it was about":                    `28.0.2 → 29.0.1 on 3 targets`,
		"since when the old one was silent":    `last heard of at (2026-11-27 )?20:10:\d\d`,
		"who began it, when, by which plan":    `2026-11-27 19:30:\d\d.*plan [0-9a-f]{12}`,
		"Anna's approval":                      `canary( of rollout monthly)? approved by anna \(\S+@\S+\)`,
		"Ben's, the second":                    `canary( of rollout monthly)? approved by Ben \(\S+@\S+\)`,
		"when the second came, and why":        `2026-11-27 19:50:\d\d.*change 4711`,
		"the plan that was approved":           `approved by Ben.{0,80}plan [0-9a-f]{12}`,
		"until when an approval counts":        `2026-11-28 07:(30|50)`,
		"that the window was waited for":       `window is closed until Fri 2026-11-27 22:00 CET`,
		"who paused, when and why":             `2026-11-27 20:10:\d\d.{0,20} .*paused by \S+@\S+.{0,3}the storage team asked for half an hour`,
		"that the controller was started anew": `2026-11-27 20:40:\d\d.*controller (was started )?anew`,
		"who resumed":                          `resumed by \S+@\S+`,
		"that the canary failed, and of what":  `no such column: deleted_at`,
		"that it was taken back":               `cloud-01 rolled back`,
		"that users work on it again":          `users were out for`,
		"the verdict":                          `halted`,
		"why it does not go on by itself":      `no target of wave canary was upgraded`,
		"what going on would mean":             `go on with wave everybody`,
		"what was left alone":                  `(?i)cloud-02.{0,40}cloud-03`,
		"that it is untouched":                 `untouched`,
		"what may be typed next":               `ncfleet -i \S+ resume`,
		"and how to end it":                    `ncfleet -i \S+ abort`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text) {
			s.Errorf("%s does not tell %s (%s)", what, fact, pattern)
		}
	}
	if s.Failed() {
		s.Logf("%s:\n%s", what, text)
	}
}

// tellsPrograms reads the same from the report's JSON form.
func (s *story) tellsPrograms(text string) {
	s.Helper()
	var r struct {
		Verdict string
		Digest  string `json:"plan_digest"`
		Waves   []struct {
			Needed    int `json:"approvals_needed"`
			Approvals []struct{ Who string }
		}
		History []struct{ Kind, Who, Digest, Text string }
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		s.Fatal(err)
	}
	if r.Verdict != "halted" || r.Waves[0].Needed != 2 || len(r.Waves[0].Approvals) != 2 {
		s.Errorf("%+v", r)
	}
	var kinds []string
	for _, m := range r.History {
		kinds = append(kinds, m.Kind)
		if m.Kind == "approved" && m.Digest != r.Digest {
			s.Errorf("%s approved plan %s, the rollout's is %s", m.Who, m.Digest, r.Digest)
		}
	}
	want := "rollout_started approved approved approved window_wait paused resumed controller_came went_on step_failed target_settled rollout_ended"
	if got := strings.Join(kinds, " "); got != want {
		s.Errorf("history %s\nwant    %s", got, want)
	}
}
