package main

import (
	"context"
	"fmt"
	"regexp"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// attributeFirst is how a driver's complaint begins that is about one
// attribute: products[1] = …
var attributeFirst = regexp.MustCompile(`^([a-z][a-z0-9_]*)(?:\[\d+\])? = `)

// tryConfig lets a built-in package driver judge its block beyond the schema,
// in this process: its Configure only checks. The problem points into the
// operator's file, before a host is asked anything.
func tryConfig(ctx context.Context, s drivers.Source, d inventory.Driver, c driver.Config) error {
	for _, b := range builtins {
		if !s.Builtin || b.kind != driver.KindPackages || b.kind != s.Kind || b.name != s.Name {
			continue
		}
		err := b.make().Configure(ctx, c)
		if err == nil {
			return nil
		}
		at := d.Range
		if m := attributeFirst.FindStringSubmatch(err.Error()); m != nil {
			if r, ok := d.Ranges[m[1]]; ok {
				at = r
			}
		}
		return fmt.Errorf("%s:%d,%d: driver %q %q: %w", at.File, at.Line, at.Col, d.Kind, d.Name, err)
	}
	return nil
}
