package conformance

import (
	"context"
	"reflect"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// soon is what "returns soon" means for a cancelled call: generous, for a
// busy machine.
const soon = 30 * time.Second

const fixInfo = "Info answers without configuration and always alike: name, version, kind, and for every attribute a known type and one sentence of help."

func checkInfo(t T, d driver.Driver, kind driver.Kind) driver.Info {
	t.Helper()
	i, err := d.Info(t.Context())
	if err != nil {
		t.Fatalf("Info of an unconfigured driver: %v", err)
	}
	again, err := d.Info(t.Context())
	if err != nil || !reflect.DeepEqual(i, again) {
		t.Errorf("Info is not stable: %+v then %+v (error %v)", i, again, err)
	}
	if i.Kind != kind {
		t.Errorf("Info.Kind is %q, want %q", i.Kind, kind)
	}
	if i.Name == "" || i.Version == "" {
		t.Errorf("Info lacks a name or a version: %+v", i)
	}
	seen := map[string]bool{}
	for _, a := range i.Schema.Attributes {
		if a.Name == "" || seen[a.Name] {
			t.Errorf("Schema: attribute name %q is empty or repeated", a.Name)
		}
		seen[a.Name] = true
		switch a.Type {
		case "string", "number", "bool", "duration", "list(string)":
		default:
			t.Errorf("Schema: attribute %q has the unknown type %q", a.Name, a.Type)
		}
		if a.Help == "" {
			t.Errorf("Schema: attribute %q has no help", a.Name)
		}
		if a.Required && a.Default != "" {
			t.Errorf("Schema: attribute %q is required and has a default", a.Name)
		}
	}
	return i
}

// returnsSoon runs call and fails the test when it outlasts its cancelled
// context.
func returnsSoon(t T, name string, call func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer guard(t, name)
		_ = call(ctx)
	}()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatalf("%s with a cancelled context did not return within %s", name, soon)
	}
}

// guard is deferred in goroutines that call a driver in this process.
func guard(t T, call string) {
	if v := recover(); v != nil {
		t.Errorf("%s panicked: %v", call, v)
	}
}
