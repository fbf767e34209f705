package packages

import (
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

func TestRead(t *testing.T) {
	s, err := Read(driver.Config{"lock_wait": "90s", "restart_services": "restart", "products": []string{"gitlab: ^gitlab-ce$: 2"}})
	if err != nil || s.LockWait != 90*time.Second || s.Services != stale.Restart {
		t.Errorf("%+v, %v", s, err)
	}
	if product, _ := s.Products.ProductOf("gitlab-ce", "17.3.1"); product != "gitlab" {
		t.Errorf("the inventory's product is %q", product)
	}
	s, err = Read(driver.Config{})
	if err != nil || s.LockWait != defaultLockWait || s.Services != stale.List {
		t.Errorf("without a block: %+v, %v", s, err)
	}
	for name, c := range map[string]driver.Config{
		"lock_wait":        {"lock_wait": "25h"},
		"restart_services": {"restart_services": "sometimes"},
		"products":         {"products": []string{"x"}},
	} {
		if _, err := Read(c); err == nil || !strings.Contains(err.Error(), name) || driver.ClassOf(err) != driver.Permanent {
			t.Errorf("%v: %v, want a permanent error about %s", c, err, name)
		}
	}
}

func TestAttributes(t *testing.T) {
	if a := Attributes("")[0]; a.Name != "lock_wait" || strings.Contains(a.Help, "(") {
		t.Errorf("%+v", a)
	}
	if a := Attributes("no security data")[0]; !strings.HasSuffix(a.Help, " (no security data)") {
		t.Errorf("%+v", a)
	}
}
