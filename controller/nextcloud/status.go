package nextcloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Status is what occ status and status.php say. Version is that of the code,
// not of the database.
type Status struct {
	Installed      bool
	Version        Version
	Maintenance    bool
	NeedsDBUpgrade bool
	ProductName    string
}

// ParseStatus reads the JSON form of occ status, or the body of status.php.
// Complaints that PHP printed around it are skipped; an answer without a
// version is an error that quotes what came instead.
func ParseStatus(stdout []byte) (Status, error) {
	var raw struct {
		Installed      *bool  `json:"installed"`
		Version        string `json:"version"`
		Maintenance    bool   `json:"maintenance"`
		NeedsDBUpgrade bool   `json:"needsDbUpgrade"`
		ProductName    string `json:"productname"`
	}
	obj, err := jsonObject(stdout)
	if err == nil {
		err = json.Unmarshal(obj, &raw)
	}
	if err == nil && raw.Installed == nil {
		err = errors.New("no key \"installed\"")
	}
	if err != nil {
		return Status{}, fmt.Errorf("cannot read the status %q: %w", firstLine(stdout), err)
	}
	s := Status{Installed: *raw.Installed, Maintenance: raw.Maintenance,
		NeedsDBUpgrade: raw.NeedsDBUpgrade, ProductName: raw.ProductName}
	if s.Version, err = ParseVersion(raw.Version); err != nil {
		return Status{}, fmt.Errorf("cannot read the status: %w", err)
	}
	return s, nil
}

// ParseSetupChecks reads the JSON form of occ setupchecks: class → severity
// ("success", "info", "warning", "error").
func ParseSetupChecks(stdout []byte) (map[string]string, error) {
	var all map[string]map[string]check
	if i := bytes.IndexByte(stdout, '{'); i >= 0 && json.Unmarshal(stdout[i:], &all) == nil {
		return severities(all), nil
	}
	// The slow way: complaints around it, or PHP's form of an empty category.
	obj, err := jsonObject(stdout)
	if err != nil {
		return nil, fmt.Errorf("cannot read the setup checks %q: %w", firstLine(stdout), err)
	}
	var categories map[string]json.RawMessage
	if err := json.Unmarshal(obj, &categories); err != nil {
		return nil, fmt.Errorf("cannot read the setup checks: %w", err)
	}
	all = map[string]map[string]check{}
	for category, raw := range categories {
		if emptyList(raw) {
			continue
		}
		var checks map[string]check
		if err := json.Unmarshal(raw, &checks); err != nil {
			return nil, fmt.Errorf("cannot read the setup checks of %s: %w", category, err)
		}
		all[category] = checks
	}
	return severities(all), nil
}

type check struct {
	Severity string `json:"severity"`
}

func severities(all map[string]map[string]check) map[string]string {
	out := map[string]string{}
	for _, checks := range all {
		for class, c := range checks {
			out[class] = c.Severity
		}
	}
	return out
}

// jsonObject finds the JSON object that starts a line of out; what PHP or occ
// printed before and after it is left aside.
func jsonObject(out []byte) ([]byte, error) {
	for i := 0; i < len(out); {
		if out[i] == '{' {
			var obj json.RawMessage
			if json.NewDecoder(bytes.NewReader(out[i:])).Decode(&obj) == nil {
				return obj, nil
			}
		}
		n := bytes.IndexByte(out[i:], '\n')
		if n < 0 {
			break
		}
		i += n + 1
	}
	return nil, errors.New("there is no JSON object in it")
}

// emptyList reports PHP's form of an empty map.
func emptyList(raw json.RawMessage) bool {
	return string(bytes.TrimSpace(raw)) == "[]"
}

// firstLine is the first line that is not blank, shortened for a message.
func firstLine(b []byte) string {
	for _, l := range strings.Split(string(b), "\n") {
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		if len(l) > 300 {
			l = l[:300] + "…"
		}
		return l
	}
	return ""
}
