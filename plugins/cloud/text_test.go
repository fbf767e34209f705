package cloud

import (
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	want := Tags{Key: "r-1/canary.host", Host: "web-1", Instance: "größe: 1", Machine: "m", Unit: "u", Created: time.Unix(1_780_000_000, 0)}
	for name, text := range map[string]string{
		"as written":             want.Text(),
		"with other line ends":   strings.ReplaceAll(want.Text(), "\n", "\r\n"),
		"with words of a person": "Keep this!\n" + want.Text() + "\n",
	} {
		if got, ok := ReadText(text); !ok || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, ok, want)
		}
	}
	if got, ok := ReadText("Taken by ncfleet, or so I think\nncfleet is not mine"); ok {
		t.Errorf("a description without tags is read as %+v", got)
	}
}
