package inventory

import "testing"

func TestPercentRounding(t *testing.T) {
	tests := []struct {
		percent     float64
		total       int
		down, share int
	}{
		{1, 3, 0, 1},
		{1, 99, 0, 1},
		{1, 100, 1, 1},
		{25, 12, 3, 3},
		{25, 11, 2, 2},
		{29, 100, 29, 29}, // 0.29 × 100 is 28.999…
		{33.3, 10, 3, 3},
		{33.333333, 3, 0, 1},
		{50, 1, 0, 1},
		{99.99, 10, 9, 9},
		{100, 7, 7, 7},
		{0.1, 20000, 20, 20},
		{57, 100, 57, 57},
		{14, 50, 7, 7},
	}
	for _, tt := range tests {
		if got := percentOf(tt.percent, tt.total); got != tt.down {
			t.Errorf("percentOf(%v, %d) = %d, want %d", tt.percent, tt.total, got, tt.down)
		}
		if got := waveShare(tt.percent, tt.total); got != tt.share {
			t.Errorf("waveShare(%v, %d) = %d, want %d", tt.percent, tt.total, got, tt.share)
		}
	}
	if got := (Amount{Percent: 10, IsPercent: true}).Of(25); got != 2 {
		t.Errorf("10%% of 25 = %d", got)
	}
	if got := (Amount{Count: 3}).Of(25); got != 3 {
		t.Errorf("3 of 25 = %d", got)
	}
}

func TestWholePercentsAreExact(t *testing.T) {
	for total := range 2001 {
		for p := 1; p <= 100; p++ {
			if got, want := percentOf(float64(p), total), p*total/100; got != want {
				t.Fatalf("percentOf(%d, %d) = %d, want %d", p, total, got, want)
			}
		}
	}
}

func TestSuggest(t *testing.T) {
	tests := []struct {
		given string
		known []string
		want  string
	}{
		{"adress", []string{"name", "address"}, ` Did you mean "address"?`},
		{"lables", []string{"labels"}, ` Did you mean "labels"?`},
		{"PHP", []string{"php"}, ` Did you mean "php"?`},
		{"zfs", []string{"archive"}, ""},
		{"", []string{"abc"}, ""},
		{"x", nil, ""},
	}
	for _, tt := range tests {
		if got := suggest(tt.given, tt.known); got != tt.want {
			t.Errorf("suggest(%q) = %q, want %q", tt.given, got, tt.want)
		}
	}
}

func TestParseJump(t *testing.T) {
	tests := []struct {
		word string
		want Jump
		ok   bool
	}{
		{"bastion", Jump{Address: "bastion"}, true},
		{"ops@bastion:2222", Jump{Address: "bastion", Port: 2222, User: "ops"}, true},
		{"ops@[2001:db8::1]:2222", Jump{Address: "2001:db8::1", Port: 2222, User: "ops"}, true},
		{"2001:db8::1", Jump{Address: "2001:db8::1"}, true},
		{"[2001:db8::1]", Jump{Address: "2001:db8::1"}, true},
		{"@bastion", Jump{}, false},
		{"ops@", Jump{}, false},
		{"bastion:0", Jump{}, false},
		{"bastion:ssh", Jump{}, false},
		{"-oProxyCommand=x", Jump{}, false},
		{"a b", Jump{}, false},
	}
	for _, tt := range tests {
		got, err := parseJump(tt.word)
		if (err == nil) != tt.ok || (tt.ok && got != tt.want) {
			t.Errorf("parseJump(%q) = %+v, %v", tt.word, got, err)
		}
	}
}
