package importer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// words splits a line as a POSIX shell does, without expansion. With comments,
// a # that begins a word ends the line.
func words(line string, comments bool) ([]string, error) {
	var out []string
	var word strings.Builder
	inside, quote := false, rune(0)
	flush := func() {
		if inside {
			out = append(out, word.String())
		}
		word.Reset()
		inside = false
	}
	runes := []rune(line)
	for i := 0; i < len(runes); i++ {
		c := runes[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'' || quote == '"' && c != '\\':
			word.WriteRune(c)
		case c == '\\' && i+1 < len(runes):
			i++
			word.WriteRune(runes[i])
			inside = true
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inside = c, true
		case c == ' ' || c == '\t' || c == '\r':
			flush()
		case c == '#' && comments && !inside:
			return out, nil
		default:
			word.WriteRune(c)
			inside = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a %c is not closed", quote)
	}
	flush()
	return out, nil
}

// most bounds how many hosts one pattern may stand for.
const most = 100_000

// hostsOf expands Ansible's ranges: "web[01:03].example" is web01 to web03,
// "db-[a:c]" is db-a to db-c, "[0:8:4]" has a step.
func hostsOf(pattern string) ([]string, error) {
	open := strings.IndexByte(pattern, '[')
	if open < 0 {
		return []string{pattern}, nil
	}
	length := strings.IndexByte(pattern[open:], ']')
	if length < 0 {
		return nil, fmt.Errorf("the [ of %q is not closed", pattern)
	}
	parts := strings.Split(pattern[open+1:open+length], ":")
	if len(parts) < 2 || len(parts) > 3 {
		return nil, fmt.Errorf("%q holds no range such as [01:20]", pattern)
	}
	step := 1
	if len(parts) == 3 {
		var err error
		if step, err = strconv.Atoi(parts[2]); err != nil || step < 1 {
			return nil, fmt.Errorf("the step of %q is no number", pattern)
		}
	}
	middle, err := series(parts[0], parts[1], step)
	if err != nil {
		return nil, fmt.Errorf("cannot read the range of %q: %w", pattern, err)
	}
	rest, err := hostsOf(pattern[open+length+1:])
	if err != nil {
		return nil, err
	}
	if len(middle)*len(rest) > most {
		return nil, fmt.Errorf("%q stands for more than %d hosts", pattern, most)
	}
	var out []string
	for _, m := range middle {
		for _, r := range rest {
			out = append(out, pattern[:open]+m+r)
		}
	}
	return out, nil
}

func series(from, to string, step int) ([]string, error) {
	if from == "" {
		from = "0"
	}
	a, errA := strconv.Atoi(from)
	b, errB := strconv.Atoi(to)
	width := len(from)
	letter := func(n int) string { return string(rune(n)) }
	switch {
	case errA == nil && errB == nil:
		letter = func(n int) string {
			if strings.HasPrefix(from, "0") {
				return fmt.Sprintf("%0*d", width, n)
			}
			return strconv.Itoa(n)
		}
	case len(from) == 1 && len(to) == 1:
		a, b = int(from[0]), int(to[0])
	default:
		return nil, errors.New("its ends are neither numbers nor letters")
	}
	if b < a {
		return nil, errors.New("its end lies before its start")
	}
	if (b-a)/step >= most {
		return nil, fmt.Errorf("it stands for more than %d hosts", most)
	}
	var out []string
	for n := a; n <= b; n += step {
		out = append(out, letter(n))
	}
	return out, nil
}
