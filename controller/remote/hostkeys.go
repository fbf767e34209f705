package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// keyring holds parsed known_hosts files, each list of files once per pool.
type keyring struct {
	mu       sync.Mutex
	sets     map[string]*keySet
	appendMu sync.Mutex // one writer of known_hosts files at a time
}

// keySet is one list of known_hosts files and what was accepted since.
type keySet struct {
	once sync.Once
	db   *knownhosts.HostKeyDB
	err  error

	mu       sync.Mutex
	accepted map[string]ssh.PublicKey // by endpoint
}

func (r *keyring) set(c *Config) (*keySet, error) {
	name := strings.Join(c.KnownHosts, "\x00") + "\x00" + c.HostKeys
	r.mu.Lock()
	if r.sets == nil {
		r.sets = map[string]*keySet{}
	}
	s := r.sets[name]
	if s == nil {
		s = &keySet{accepted: map[string]ssh.PublicKey{}}
		r.sets[name] = s
	}
	r.mu.Unlock()
	s.once.Do(func() { s.db, s.err = readKnownHosts(c) })
	var missing *os.PathError
	if errors.As(s.err, &missing) && errors.Is(s.err, os.ErrNotExist) {
		return s, fmt.Errorf("%w; create it with `ssh-keyscan -p %d %s >> %s` and compare `ssh-keygen -lf %s` with the fingerprint on the host's console",
			s.err, positive(c.Port, 22), c.Address, missing.Path, missing.Path)
	}
	return s, s.err
}

func readKnownHosts(c *Config) (*knownhosts.HostKeyDB, error) {
	files := c.KnownHosts
	if c.HostKeys == HostKeysAcceptNew {
		// The first file need not exist yet.
		if _, err := os.Stat(files[0]); errors.Is(err, os.ErrNotExist) {
			files = files[1:]
		}
	}
	db, err := knownhosts.NewDB(files...)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read known_hosts: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read known_hosts: %w; correct or remove that line", err)
	}
	return db, nil
}

// algorithms returns the host key algorithms to offer: those of recorded keys
// first, so that a host with several keys shows the recorded one, then the
// plain ones, so that a changed key is seen as such.
func (s *keySet) algorithms(endpoint string) []string {
	known := s.db.HostKeyAlgorithms(endpoint)
	for _, a := range ssh.SupportedAlgorithms().HostKeys {
		if !strings.Contains(a, "-cert-") && !slices.Contains(known, a) {
			known = append(known, a)
		}
	}
	return known
}

// hostKeyCheck is the check of one connection attempt. The SSH library wraps
// the callback's error out of reach, hence the field.
type hostKeyCheck struct {
	ring *keyring
	set  *keySet
	c    *Config
	err  *HostKeyError
	fail error // the key was fine, recording it failed
}

func (k *hostKeyCheck) callback(endpoint string, remote net.Addr, key ssh.PublicKey) error {
	err := k.set.db.HostKeyCallback()(endpoint, remote, key)
	if err == nil {
		return nil
	}
	if knownhosts.IsHostUnknown(err) && k.c.HostKeys == HostKeysAcceptNew {
		if fail := k.accept(endpoint, key); fail != nil {
			return fail
		}
		if k.err == nil {
			return nil
		}
		return k.err
	}
	k.err = k.explain(key, err)
	return k.err
}

func (k *hostKeyCheck) explain(key ssh.PublicKey, err error) *HostKeyError {
	e := &HostKeyError{
		Host: k.c.label(), Address: k.c.Address, Port: positive(k.c.Port, 22), Alias: k.c.HostKeyAlias,
		Offered: describeKey(key), Files: k.c.KnownHosts, Err: err,
	}
	var mismatch *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	_, isCert := key.(*ssh.Certificate)
	switch {
	case errors.As(err, &revoked):
		e.Kind = KeyRevoked
		e.Recorded = []RecordedKey{recorded(revoked.Revoked)}
	case errors.As(err, &mismatch) && len(mismatch.Want) == 0:
		e.Kind = KeyUnknown
	case errors.As(err, &mismatch):
		e.Kind = KeyChanged
		for _, w := range mismatch.Want {
			e.Recorded = append(e.Recorded, recorded(w))
		}
	case isCert && strings.HasSuffix(err.Error(), " revoked"):
		e.Kind = KeyRevoked
	}
	return e
}

// accept records the key of an unknown host, once.
func (k *hostKeyCheck) accept(endpoint string, key ssh.PublicKey) error {
	k.set.mu.Lock()
	defer k.set.mu.Unlock()
	if was, ok := k.set.accepted[endpoint]; ok {
		if string(was.Marshal()) == string(key.Marshal()) {
			return nil
		}
		k.err = k.explain(key, &xknownhosts.KeyError{Want: []xknownhosts.KnownKey{{Key: was, Filename: k.c.KnownHosts[0]}}})
		return nil
	}
	line := knownhosts.Line([]string{endpoint}, key) + "\n"
	k.ring.appendMu.Lock()
	err := appendLine(k.c.KnownHosts[0], line)
	k.ring.appendMu.Unlock()
	if err != nil {
		k.fail = fmt.Errorf("cannot record the key of host %s: %w", k.c.label(), err)
		return k.fail
	}
	k.set.accepted[endpoint] = key
	return nil
}

// appendLine adds the line in one write, after a newline that an editor left out.
func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	last := make([]byte, 1)
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

func recorded(k xknownhosts.KnownKey) RecordedKey {
	return RecordedKey{Key: describeKey(k.Key), File: k.Filename, Line: k.Line}
}

func describeKey(key ssh.PublicKey) string {
	if cert, ok := key.(*ssh.Certificate); ok {
		return fmt.Sprintf("%s %s (signed by %s)", cert.Type(), ssh.FingerprintSHA256(cert.Key), ssh.FingerprintSHA256(cert.SignatureKey))
	}
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}
