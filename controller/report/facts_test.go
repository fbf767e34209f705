package report

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func TestFactsJSON(t *testing.T) {
	f := plan.Facts{Host: "a", SeenAt: time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC), OS: plan.OS{ID: "debian"}, BootID: "b",
		Packages:  &driver.PackageFacts{Pending: []driver.PackageChange{{Name: "curl"}}},
		Tools:     map[string]string{"mariadb-dump": "/usr/bin/mariadb-dump", "curl": "/usr/bin/curl"},
		Instances: []plan.InstanceFacts{{Name: "main", Code: nextcloud.Version{29, 0, 1, 1}, NeedsDBUpgrade: true, PHP: plan.PHP{MemoryLimit: `"<512M>"`}}}}
	text, err := json.Marshal(FactsJSON(f))
	if err != nil {
		t.Fatal(err)
	}
	var back SurveyedHostDocument
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(text) {
		t.Errorf("read back and written again: %v\n%s\nwant\n%s", err, again, text)
	}
	if back.Instances[0].Code != f.Instances[0].Code || back.Tools["curl"] != "/usr/bin/curl" {
		t.Errorf("read back: %+v", back.Facts)
	}
	if err := json.Unmarshal([]byte(`{"format_version":2,"host":"a"}`), &back); err == nil {
		t.Error("facts of another version were taken")
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	in := got["instances"].([]any)[0].(map[string]any)
	for what, pair := range map[string][2]any{
		"version":   {got["format_version"], 1.0},
		"time":      {got["seen_at"], "2026-11-23T02:14:00Z"},
		"system":    {got["os"].(map[string]any)["id"], "debian"},
		"package":   {got["packages"].(map[string]any)["pending"].([]any)[0].(map[string]any)["name"], "curl"},
		"a key":     {got["tools"].(map[string]any)["mariadb-dump"], "/usr/bin/mariadb-dump"},
		"code":      {in["code"], "29.0.1.1"},
		"no list":   {len(in["apps"].([]any)), 0},
		"upgrade":   {in["needs_db_upgrade"], true},
		"character": {in["php"].(map[string]any)["memory_limit"], `"<512M>"`},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	if _, ok := got["unreachable"]; ok {
		t.Error("what is empty and may be left out is there")
	}
	for in, want := range map[string]string{"OS": "os", "FSType": "fs_type", "SeenAt": "seen_at", "MinPHP": "min_php", "AppStoreURL": "app_store_url", "format_version": "format_version"} {
		if got := FieldName(in); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}
