// Package packages is what the blocks of all package drivers have in common:
// how long to wait for a lock, which software is a product, and what happens to
// services that still run old code. It refuses to hold anything that only one
// of them knows.
package packages

import (
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

// Bounds of lock_wait.
const (
	defaultLockWait = 5 * time.Minute
	longestLockWait = 24 * time.Hour
)

// Settings of a package driver.
type Settings struct {
	LockWait time.Duration // used when a selection names none
	Products *products.Table
	Services stale.Policy
}

// Defaults are the settings of a driver without a block.
func Defaults() Settings {
	return Settings{LockWait: defaultLockWait, Products: products.Shipped(), Services: stale.List}
}

// Attributes are the schema of the settings; about is added to the help of the
// first, "" adds nothing.
func Attributes(about string) []driver.Attribute {
	help := "How long a command waits for another package process."
	if about != "" {
		help += " (" + about + ")"
	}
	return []driver.Attribute{
		{Name: "lock_wait", Type: "duration", Default: "5m", Help: help},
		stale.Attribute(),
		products.Attribute(),
	}
}

// Read reads the settings of a driver's block; what it does not say keeps its
// default.
func Read(c driver.Config) (Settings, error) {
	s := Defaults()
	if v, ok := c["lock_wait"].(string); ok && v != "" {
		wait, err := time.ParseDuration(v)
		if err != nil || wait < 0 || wait > longestLockWait {
			return s, driver.Errorf(driver.Permanent, "lock_wait = %q: write a duration up to 24h, such as 5m", v)
		}
		s.LockWait = wait
	}
	var err error
	if s.Services, err = stale.FromConfig(c); err != nil {
		return s, err
	}
	s.Products, err = products.FromConfig(c)
	return s, err
}
