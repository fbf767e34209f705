package nextcloud

import (
	"errors"
	"strings"
	"testing"
)

func versions(t *testing.T, list string) []Version {
	t.Helper()
	var out []Version
	for _, s := range strings.Fields(list) {
		v, err := ParseVersion(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func join(vs []Version) string {
	var out []string
	for _, v := range vs {
		out = append(out, v.String())
	}
	return strings.Join(out, " ")
}

func TestPath(t *testing.T) {
	const all = "28.0.2 28.0.14 29.0.1 29.0.16 30.0.17 31.0.14 31.0.2"
	for _, c := range []struct {
		name, from, goal, known, want, code string
	}{
		{"newest of the next major", "28.0.2.5", "29", all, "29.0.16", ""},
		{"no patch first", "28.0.2.5", "29.0.1", all, "29.0.1", ""},
		{"one major at a time", "28.0.2.5", "31", all, "29.0.16 30.0.17 31.0.14", ""},
		{"exact end, newest on the way", "28.0.2.5", "31.0.2", all, "29.0.16 30.0.17 31.0.2", ""},
		{"patch within a major", "28.0.2.5", "28", all, "28.0.14", ""},
		{"minor goal", "28.0.2.5", "29.0", all, "29.0.16", ""},
		{"there already, fourth number unknown", "29.0.16.1", "29.0.16", all, "", ""},
		{"there already, source is older", "29.0.20.1", "29", all, "", ""},
		{"there already, source is empty", "29.0.20.1", "29", "", "", ""},
		{"skipped major missing", "28.0.2.5", "31", "29.0.1 31.0.2", "", "major_skipped_missing"},
		{"release missing", "28.0.2.5", "29.0.9", all, "", "release_missing"},
		{"downgrade of a major", "30.0.1.1", "29", all, "", "downgrade"},
		{"downgrade of a patch", "29.0.16.1", "29.0.1", all, "", "downgrade"},
		{"unknown start", "", "29", all, "", "downgrade"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var from Version
			if c.from != "" {
				from = versions(t, c.from)[0]
			}
			goal, err := ParseGoal(c.goal)
			if err != nil {
				t.Fatal(err)
			}
			known := versions(t, c.known)
			if known == nil {
				known = []Version{}
			}
			got, err := Path(from, goal, known)
			var pe *PathError
			if errors.As(err, &pe) {
				if pe.Code != c.code || pe.What == "" || pe.Remedy == "" {
					t.Fatalf("error %+v, want code %q", pe, c.code)
				}
				return
			}
			if err != nil || c.code != "" || join(got) != c.want {
				t.Fatalf("path %q, error %v; want %q, code %q", join(got), err, c.want, c.code)
			}
		})
	}
}

func TestPathWithTheShippedTable(t *testing.T) {
	goal, _ := ParseGoal("34")
	got, err := Path(Version{25, 0, 1, 1}, goal, nil)
	if err != nil || len(got) != 9 || got[8].Major() != 34 {
		t.Fatalf("path %v, error %v", got, err)
	}
}

func TestPathErrorNamesTheArchive(t *testing.T) {
	goal, _ := ParseGoal("31")
	_, err := Path(Version{28, 0, 2, 5}, goal, versions(t, "29.0.1 31.0.2"))
	if err == nil || !strings.Contains(err.Error(), "nextcloud-30.0.17.tar.bz2") || !strings.Contains(err.Error(), `to = "29"`) {
		t.Fatalf("error %v does not name the way out", err)
	}
}

func TestPathErrorNamesTheWholeWay(t *testing.T) {
	goal, _ := ParseGoal("31")
	_, err := Path(Version{28, 0, 2, 5}, goal, versions(t, "28.0.2 29.0.1"))
	if err == nil || !strings.Contains(err.Error(), "28 → 29 → 30 → 31") ||
		!strings.Contains(err.Error(), "no 30 and no 31") || !strings.Contains(err.Error(), `to = "29"`) {
		t.Fatalf("error %v does not name the way and how far it goes", err)
	}
}

func TestParseGoalRefuses(t *testing.T) {
	for _, s := range []string{"", "0", "latest", "29.x", "29.0.1.1.1", "-1"} {
		if g, err := ParseGoal(s); err == nil {
			t.Errorf("goal %q read as %v", s, g)
		}
	}
}

func TestCheckPHP(t *testing.T) {
	for _, c := range []struct {
		from, path, php string
		refuses         int
		reach           string
		old             bool
	}{
		{"28.0.2", "29.0.1", "8.2.36", 0, "", false},
		{"28.0.2", "29.0.1", "7.4.33", 28, "", true},
		{"28.0.2", "29.0.16 30.0.17 31.0.14", "8.0.30", 30, "29.0.16", true},
		{"28.0.2", "29.0.16", "8.4.1", 28, "", false},
		{"27.1.11", "28.0.14", "8.3.0", 27, "", false},
		{"32.0.1", "33.0.8 34.0.3", "8.1.2", 33, "", true},
		{"34.0.3", "35.0.0", "8.5.1", 0, "", false},
	} {
		got := CheckPHP(versions(t, c.from)[0], versions(t, c.path), c.php)
		if got == nil {
			if c.refuses != 0 {
				t.Errorf("%s → %s on %s: accepted", c.from, c.path, c.php)
			}
			continue
		}
		if got.Major.Number != c.refuses || got.Reach.String() != c.reach || got.TooOld != c.old {
			t.Errorf("%s → %s on %s: %+v", c.from, c.path, c.php, got)
		}
	}
}

func TestCommonPHP(t *testing.T) {
	low, high, ok := CommonPHP(Version{28, 0, 2}, versions(t, "29.0.16 30.0.17"))
	if !ok || low != [2]int{8, 1} || high != [2]int{8, 3} {
		t.Fatalf("28 → 30: %v–%v %v", low, high, ok)
	}
	if _, _, ok := CommonPHP(Version{25}, versions(t, "26.0.13 33.0.8")); ok {
		t.Fatal("25 → 33 has a common PHP")
	}
}

func TestTableIsWhole(t *testing.T) {
	for i, m := range Majors() {
		if m.Number != 25+i || m.Newest.Major() != m.Number || m.PHPSource == "" ||
			m.DatabaseSource == "" || m.NewestSource == "" || less(m.PHPMax, m.PHPMin) || len(m.Databases) != 4 {
			t.Errorf("row %d is not whole: %+v", i, m)
		}
	}
	if n := len(Majors()); n != 10 {
		t.Errorf("%d rows", n)
	}
}

func TestDatabaseWarning(t *testing.T) {
	for _, c := range []struct {
		major           int
		server, version string
		warns           bool
	}{
		{29, "MariaDB", "10.11.19", false}, {29, "MariaDB", "10.1.48", true},
		{32, "MariaDB", "11.8.3", false}, {32, "MariaDB", "12.0.1", true},
		{32, "PostgreSQL", "17.2", false}, {32, "PostgreSQL", "18.0", true}, {32, "PostgreSQL", "12.4", true},
		{32, "MySQL", "8.4.1", false}, {32, "MySQL", "9.0.0", true},
		{32, "SQLite", "3.40.1", false}, {32, "Oracle", "19", false}, {32, "MariaDB", "", false},
	} {
		m, _ := MajorOf(c.major)
		if got := m.DatabaseWarning(c.server, c.version); (got != "") != c.warns {
			t.Errorf("%d on %s %s: %q", c.major, c.server, c.version, got)
		}
	}
}

func TestMissingModules(t *testing.T) {
	have := []string{"SimpleXML", "Core"}
	for _, m := range RequiredModules() {
		if m != "simplexml" && m != "gd" && m != "zip" {
			have = append(have, m)
		}
	}
	if got := strings.Join(MissingModules(have), " "); got != "gd zip" {
		t.Fatalf("missing %q", got)
	}
}
