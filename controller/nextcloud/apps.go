package nextcloud

import (
	"encoding/json"
	"fmt"
	"strings"
)

// AppList is what occ app:list says: id → version. A version is "" when occ
// does not know one.
type AppList struct {
	Enabled  map[string]string
	Disabled map[string]string
}

// ParseAppList reads the JSON form of occ app:list.
func ParseAppList(stdout []byte) (AppList, error) {
	obj, err := jsonObject(stdout)
	if err != nil {
		return AppList{}, fmt.Errorf("cannot read the list of apps %q: %w", firstLine(stdout), err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(obj, &raw); err != nil {
		return AppList{}, fmt.Errorf("cannot read the list of apps: %w", err)
	}
	if raw["enabled"] == nil {
		return AppList{}, fmt.Errorf("cannot read the list of apps: no key \"enabled\"")
	}
	var list AppList
	if list.Enabled, err = appVersions(raw["enabled"]); err != nil {
		return AppList{}, fmt.Errorf("cannot read the enabled apps: %w", err)
	}
	if list.Disabled, err = appVersions(raw["disabled"]); err != nil {
		return AppList{}, fmt.Errorf("cannot read the disabled apps: %w", err)
	}
	return list, nil
}

func appVersions(raw json.RawMessage) (map[string]string, error) {
	out := map[string]string{}
	if len(raw) == 0 || emptyList(raw) {
		return out, nil
	}
	var apps map[string]json.RawMessage
	if err := json.Unmarshal(raw, &apps); err != nil {
		return nil, err
	}
	for id, v := range apps {
		var text string
		if json.Unmarshal(v, &text) != nil {
			text = "" // PHP's empty value is a list
		}
		// "1.0.0 (installed 1.0.0)": the version of the files comes first.
		text, _, _ = strings.Cut(text, " ")
		out[id] = text
	}
	return out, nil
}

// ParseMissingIndices reads occ db:add-missing-indices --dry-run: "index of
// table" each.
func ParseMissingIndices(stdout []byte) []string {
	var out []string
	for _, line := range strings.Split(string(stdout), "\n") {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "Adding additional ")
		if !ok {
			continue
		}
		index, rest, _ := strings.Cut(rest, " ")
		if table, _, ok := strings.Cut(strings.TrimPrefix(rest, "index to the "), " table"); ok {
			out = append(out, index+" of "+table)
		}
	}
	return out
}

// ParseAppUpdates reads occ app:update --showonly --all: id → newer version.
func ParseAppUpdates(stdout []byte) map[string]string {
	out := map[string]string{}
	for _, line := range strings.Split(string(stdout), "\n") {
		id, version, ok := strings.Cut(strings.TrimSpace(line), " new version available: ")
		if ok && id != "" && version != "" && !strings.Contains(id, " ") {
			out[id] = version
		}
	}
	return out
}
