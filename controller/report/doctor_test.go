package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
)

func TestFindingsAreRanked(t *testing.T) {
	fault := func(code string) plan.Problem {
		return plan.Problem{Code: code, Summary: code + " happened", Detail: "at /srv/x", Remedy: "mend " + code}
	}
	looked := []plan.Diagnosis{
		{Target: "cloud-02", Blocked: []plan.Problem{fault("php_too_old"), fault("snapshot_hole"), fault("host_blocked")}},
		{Target: "cloud-01", Blocked: []plan.Problem{fault("php_too_old"), fault("upgrade_pending")}},
		{Target: "cloud-03", Warnings: []plan.Problem{fault("php_memory"), {Code: "rival_held", Remedy: "nothing to do: it is put back as found"}}},
	}
	list := Findings(looked, []plan.Problem{fault("bad_goal")})
	var got []string
	for _, f := range list {
		got = append(got, f.Code+" "+strings.Join(f.Targets, ","))
	}
	want := []string{"upgrade_pending cloud-01", "snapshot_hole cloud-02", "php_too_old cloud-01,cloud-02", "bad_goal ", "php_memory cloud-03"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("got %q, want %q", got, want)
	}
	var text, js, none bytes.Buffer
	if err := Doctor(&text, list, 3, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"5 problems on 3 targets", "Users are out", "where: cloud-01, cloud-02", "fix:   mend php_too_old", "! php_memory happened"} {
		if !strings.Contains(text.String(), w) {
			t.Errorf("the text does not say %q:\n%s", w, text.String())
		}
	}
	if err := Encode(&js, DoctorJSON(list, "monthly", 3), ""); err != nil {
		t.Fatal(err)
	}
	var v DoctorDocument
	if err := json.Unmarshal(js.Bytes(), &v); err != nil || v.Rollout != "monthly" || len(v.Problems) != 5 || v.Problems[0].Harm != "users_out" || !v.Problems[0].Blocks || v.Problems[4].Blocks || v.Problems[3].Targets == nil {
		t.Errorf("%+v, %v", v, err)
	}
	if err := Doctor(&none, nil, 1, Options{}); err != nil || !strings.Contains(none.String(), "Nothing wrong was found on 1 target") {
		t.Errorf("%q, %v", none.String(), err)
	}
}
