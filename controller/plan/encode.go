package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// Encode writes the plan's file form: JSON, indented, the same bytes for the
// same plan.
func Encode(p Plan) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("cannot encode plan of %s: %w", p.Rollout, err)
	}
	return b.Bytes(), nil
}

// Decode reads what Encode wrote. It refuses other format versions and
// anything it does not know: a plan is carried out whole or not at all.
func Decode(data []byte) (Plan, error) {
	var head struct{ FormatVersion int }
	if err := json.Unmarshal(data, &head); err != nil {
		return Plan{}, fmt.Errorf("cannot read plan: %w", err)
	}
	if head.FormatVersion != FormatVersion {
		return Plan{}, fmt.Errorf("cannot read plan: its format is version %d, this ncfleet reads %d; plan again", head.FormatVersion, FormatVersion)
	}
	var p Plan
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("cannot read plan: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Plan{}, fmt.Errorf("cannot read plan: something follows its end")
	}
	return p, nil
}

// Digest is the SHA-256 of the plan's file form, in hex. A plan that cannot be
// encoded, which no plan of Compute is, has the digest "".
func Digest(p Plan) string {
	data, err := Encode(p)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
