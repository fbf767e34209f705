package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// openLedger starts the client that writes and reads every second.
func (s *scene) openLedger() {
	s.Helper()
	password, err := os.ReadFile(s.lab.PasswordFile())
	if err != nil {
		s.Fatal(err)
	}
	sites, err := json.Marshal([]map[string]string{{"name": s.host.Name, "url": s.host.URL(), "user": "ada", "password": strings.TrimSpace(string(password))}})
	if err != nil {
		s.Fatal(err)
	}
	s.write("sites.json", string(sites))
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	s.ledger = s.start(self, "ledger", "run", "--sites", filepath.Join(s.dir, "sites.json"), "--book", filepath.Join(s.dir, "book"))
}

// checkLedger ends the client and reads back every write that was acknowledged.
func (s *scene) checkLedger() {
	s.Helper()
	s.closeLedger()
	s.readLedger()
}

// closeLedger ends the client: from here on nobody writes.
func (s *scene) closeLedger() {
	s.Helper()
	_ = s.ledger.cmd.Process.Signal(os.Interrupt)
	s.ledger.ends(time.Minute, 0)
}

func (s *scene) readLedger() {
	s.Helper()
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	_, out := s.start(self, "ledger", "check", "--sites", filepath.Join(s.dir, "sites.json"), "--book", filepath.Join(s.dir, "book")).ends(2*time.Minute, 0)
	book, err := os.ReadFile(filepath.Join(s.dir, "book"))
	if err != nil || bytes.Count(book, []byte(`"acknowledged":true`)) < 5 {
		s.Errorf("the ledger proves nothing: %v\n%s", err, book)
	}
	s.tell("ledger: %s", strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n        "))
}
