package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// lastSurvey is the file that holds the facts of the last report.
func (a *app) lastSurvey() (string, error) {
	state, err := a.state()
	return filepath.Join(state, "survey.json"), err
}

// keepSurvey puts facts beside the journal, over older ones of the same hosts:
// a report on some hosts does not forget the others.
func (a *app) keepSurvey(file string, facts map[string]plan.Facts) error {
	all, _, err := readIfThere(file)
	if err != nil || all == nil {
		all = map[string]plan.Facts{} // a file that cannot be read is written anew
	}
	maps.Copy(all, facts)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("cannot keep the survey: %w", err)
	}
	return writeWhole(file, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, host := range slices.Sorted(maps.Keys(all)) {
			if err := enc.Encode(all[host]); err != nil {
				return err
			}
		}
		return nil
	})
}

// readIfThere is readFacts; of a file that does not exist it gives nil.
func readIfThere(file string) (facts map[string]plan.Facts, there bool, err error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	facts, err = readFacts(file)
	return facts, true, err
}

// factsLimit bounds a file of facts.
const factsLimit = 256 << 20

// readFacts reads what survey prints: facts of hosts one after another, or
// documents that hold them in "hosts".
func readFacts(file string) (map[string]plan.Facts, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read facts: %w", err)
	}
	defer f.Close()
	facts := map[string]plan.Facts{}
	dec := json.NewDecoder(io.LimitReader(f, factsLimit))
	for {
		var v struct {
			plan.Facts
			Hosts []plan.Facts `json:"hosts"`
		}
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read facts from %s: %w; make it with: ncfleet survey --output json > FILE", file, err)
		}
		if v.Host != "" {
			facts[v.Host] = v.Facts
		}
		for _, h := range v.Hosts {
			facts[h.Host] = h
		}
	}
	if len(facts) == 0 {
		return nil, fmt.Errorf("%s holds no facts of a host; make it with: ncfleet survey --output json > FILE", file)
	}
	return facts, nil
}

// writeWhole replaces a file: readers see the old one or the new one, never a
// part. What is written may name hosts and versions, so only its owner reads it.
func writeWhole(file string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	defer os.Remove(f.Name()) // gone once it is renamed
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}
