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
	"github.com/ncfleet/ncfleet/controller/report"
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
		kept := report.SurveyDocument{FormatVersion: 1, Hosts: []report.SurveyedHostDocument{}}
		for _, host := range slices.Sorted(maps.Keys(all)) {
			kept.Hosts = append(kept.Hosts, report.FactsJSON(all[host]))
		}
		return report.Encode(w, kept, "")
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

// readFacts reads what survey prints: one document, or a line for each host.
func readFacts(file string) (map[string]plan.Facts, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read facts: %w", err)
	}
	defer f.Close()
	facts := map[string]plan.Facts{}
	dec := json.NewDecoder(io.LimitReader(f, factsLimit))
	for {
		var v json.RawMessage
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = addFacts(facts, v)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read facts from %s: %w; make it with: ncfleet survey > FILE", file, err)
		}
	}
	if len(facts) == 0 {
		return nil, fmt.Errorf("%s holds no facts of a host; make it with: ncfleet survey > FILE", file)
	}
	return facts, nil
}

// addFacts takes the hosts of a survey, or one host.
func addFacts(facts map[string]plan.Facts, text json.RawMessage) error {
	var all report.SurveyDocument
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	if all.Hosts == nil {
		all.Hosts = make([]report.SurveyedHostDocument, 1)
		if err := json.Unmarshal(text, &all.Hosts[0]); err != nil {
			return err
		}
	}
	for _, h := range all.Hosts {
		if h.Host != "" {
			facts[h.Host] = h.Facts
		}
	}
	return nil
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
