package inventory

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns a file's text in its usual form: spaces and alignment change,
// nothing else. A file whose syntax has errors is not formatted; they are
// reported under the name.
func Format(src []byte, name string) ([]byte, Diagnostics) {
	l := &loader{}
	s := &source{name: name, bytes: src}
	if _, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		l.reportHCL(oncePerLine(diags), s.start(), "", nil)
		return nil, l.diags.finish([]*source{s})
	}
	return hclwrite.Format(src), nil
}
