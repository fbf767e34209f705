package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

func occSystemGet(p *process, s *site, words, _ []string) int {
	if len(words) == 0 {
		return 1
	}
	v, ok := s.conf.get(words[0])
	if !ok {
		return 1
	}
	if text, isText := v.(string); isText {
		p.say("%s\n", text)
	} else {
		p.say("%s\n", jsonText(v))
	}
	return 0
}

func occSystemSet(p *process, s *site, words, options []string) int {
	value, kind := "", "string"
	for _, o := range options {
		if v, ok := strings.CutPrefix(o, "--value="); ok {
			value = v
		}
		if v, ok := strings.CutPrefix(o, "--type="); ok {
			kind = v
		}
	}
	if len(words) == 0 {
		return 1
	}
	var v any = value
	if kind != "string" {
		var err error
		if v, err = fromJSON(value); err != nil {
			p.say("%v\n", err)
			return 1
		}
	}
	if err := s.changeConfig(map[string]any{words[0]: v}); err != nil {
		return p.crash(err)
	}
	p.say("System config value %s set to %s %s\n", words[0], kind, value)
	return 0
}

func occSystemDelete(p *process, s *site, words, _ []string) int {
	for _, k := range words {
		if err := s.changeConfig(map[string]any{k: nil}); err != nil {
			return p.crash(err)
		}
		p.say("System config value %s deleted\n", k)
	}
	return 0
}

func occUserAdd(p *process, s *site, words, options []string) int {
	if len(words) != 1 || !slices.Contains(options, "--password-from-env") {
		p.say("Not enough arguments (missing: \"uid\").\n")
		return 1
	}
	name, password := words[0], p.getenv("OC_PASS")
	if password == "" {
		p.say("--password-from-env given, but OC_PASS/NC_PASS is empty!\n")
		return 1
	}
	err := p.host.changeDatabase(s.databaseFile(), func(db *database) error {
		if _, there := db.Users[name]; there {
			return fmt.Errorf("the user %q already exists", name)
		}
		db.Users[name] = dbUser{Password: passwordSum(password), Name: name}
		return nil
	})
	if err != nil {
		p.say("%v.\n", err)
		return 1
	}
	p.say("The account %q was created successfully\n", name)
	return 0
}

func occUserDelete(p *process, s *site, words, _ []string) int {
	for _, name := range words {
		there := false
		err := p.host.changeDatabase(s.databaseFile(), func(db *database) error {
			_, there = db.Users[name]
			delete(db.Users, name)
			return nil
		})
		if err != nil {
			return p.crash(err)
		}
		if !there {
			p.say("User does not exist\n")
			return 1
		}
		os.RemoveAll(filepath.Join(s.data(), filepath.Base(name)))
		p.say("The specified user was deleted\n")
	}
	return 0
}

func occUserList(p *process, s *site, _, _ []string) int {
	db, err := s.database()
	if err != nil {
		return p.crash(err)
	}
	names := make([]string, 0, len(db.Users))
	for n := range db.Users {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		p.say("  - %s: %s\n", n, db.Users[n].Name)
	}
	return 0
}
