package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ncfleet/ncfleet/controller/notify"
)

// TestNotify carries out a rollout with an approval and hears of it by webhook
// alone.
func TestNotify(t *testing.T) {
	f := newFleet(t, 2)
	var mu sync.Mutex
	var got []notify.Message
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m notify.Message
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, m)
	}))
	defer hook.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	f.edit(f.file, `wave "everybody" { rest = true }`, "wave \"everybody\" {\n    rest = true\n    approve = true\n  }")
	text, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	block := fmt.Sprintf("\nnotify \"webhook\" \"ops\" {\n  url = %q\n  on = [\"start\", \"wave\", \"decision\", \"end\"]\n}\nnotify \"slack\" \"gone\" { url = %q }\n", hook.URL, gone.URL)
	if err := os.WriteFile(f.file, append(text, block...), 0o644); err != nil {
		t.Fatal(err)
	}
	f.want(exitError, []string{"notify"}, "notify webhook ops: sent", "notify slack gone: FAILED: ", "1 message not sent")
	got = nil
	p := f.start("apply", "--rollout", "monthly", "--yes")
	p.sees("waits for approval; from another terminal:")
	f.want(exitOK, []string{"approve", "--wave", "everybody"}, "approved")
	p.ends(exitOK, "2 upgraded, 0 rolled back, 0 failed, 0 untouched", "warning: notify slack gone was not told")
	mu.Lock()
	defer mu.Unlock()
	var titles []string
	for _, m := range got {
		titles = append(titles, m.Title)
	}
	want := []string{"Rollout monthly began: 2 targets in 2 waves", "Wave canary of rollout monthly passed", "Wave everybody of rollout monthly waits for approval",
		"Wave everybody of rollout monthly passed", "Rollout monthly ended: succeeded"}
	if fmt.Sprint(titles) != fmt.Sprint(want) {
		t.Errorf("told %q, want %q", titles, want)
	}
	if last := got[len(got)-1]; last.Counts.Upgraded != 2 || last.Counts.Open != 0 || !strings.HasPrefix(got[2].Commands[0], "ncfleet -i "+f.file+" approve --wave everybody --digest ") {
		t.Errorf("counts %+v, commands %q", last.Counts, got[2].Commands)
	}
}
