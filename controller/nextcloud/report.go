package nextcloud

import (
	"bytes"
	"strconv"
	"strings"
)

// Report is what a host script said in its "ncfleet: KEY VALUE" lines.
type Report struct {
	// Marks are named moments in Unix seconds by the host's clock. A script
	// that ran twice gives the later one.
	Marks    map[string]float64
	Values   map[string]string // last value of each other key
	Notes    []string          // what people should know
	Degraded []string          // done, but not whole
	Errors   []string          // why the script failed
	Log      []string          // lines of nextcloud.log that matter
	Disabled []string          // apps that occ upgrade said it disabled
	Sections map[string]Section
}

// Section is output that a script passed on whole.
type Section struct {
	Body []byte
	Exit int
	Note string // the last line on stderr
}

const reportPrefix = "ncfleet: "

// ParseReport reads a host script's standard output; other lines are skipped.
func ParseReport(stdout []byte) Report {
	r := Report{Marks: map[string]float64{}, Values: map[string]string{}, Sections: map[string]Section{}}
	open, body := "", []byte(nil)
	for len(stdout) > 0 {
		line, rest, _ := bytes.Cut(stdout, []byte("\n"))
		stdout = rest
		text, ours := strings.CutPrefix(string(line), reportPrefix)
		key, value, _ := strings.Cut(text, " ")
		switch {
		case open != "" && ours && key == "end" && (value == open || strings.HasPrefix(value, open+" ")):
			r.Sections[open] = section(body, strings.TrimPrefix(value, open))
			open = ""
		case open != "":
			body = append(append(body, line...), '\n')
		case !ours:
		case key == "begin":
			open, body = value, nil
		default:
			r.add(key, value)
		}
	}
	return r
}

func section(body []byte, rest string) Section {
	exit, note, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.Atoi(exit)
	if err != nil {
		n = -1
	}
	return Section{Body: bytes.TrimSpace(body), Exit: n, Note: strings.TrimSpace(note)}
}

func (r *Report) add(key, value string) {
	switch key {
	case "mark":
		name, at, _ := strings.Cut(value, " ")
		if t, err := strconv.ParseFloat(at, 64); err == nil {
			r.Marks[name] = t
		}
	case "note":
		r.Notes = append(r.Notes, value)
	case "degraded":
		r.Degraded = append(r.Degraded, value)
	case "error":
		r.Errors = append(r.Errors, value)
	case "log":
		r.Log = append(r.Log, value)
	case "disabled-app":
		r.Disabled = append(r.Disabled, value)
	default:
		r.Values[key] = value
	}
}

// Between is the time from one mark to another in seconds; ok is false when
// either is missing.
func (r Report) Between(from, to string) (seconds float64, ok bool) {
	a, haveA := r.Marks[from]
	b, haveB := r.Marks[to]
	return b - a, haveA && haveB && b >= a
}
