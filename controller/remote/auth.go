package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// keychain holds opened private keys, each file once per pool, and the
// connections to agents.
type keychain struct {
	patience time.Duration // with an agent

	mu     sync.Mutex
	files  map[string]*keyFile
	agents map[string]*agentConn
	good   map[string]bool // keys that a host took, by their public half
}

type keyFile struct {
	once   sync.Once
	signer ssh.AlgorithmSigner
	err    error
}

// identity is one key to log in with.
type identity struct {
	signer ssh.AlgorithmSigner
	what   string // for messages
	agent  bool   // an agent signs
	touch  bool   // it is a security key's
}

// identities lists what to offer. A host counts refused keys (MaxAuthTries), so
// the first are those that some host took, then certificates, key files and
// the agent's others; among these, a key that a person has to touch comes last.
func (k *keychain) identities(ctx context.Context, c *Config) ([]identity, error) {
	var listed, plain, certified []identity
	if c.Agent {
		var err error
		if listed, err = k.fromAgent(ctx, c.AgentSocket); err != nil {
			return nil, err
		}
	}
	for _, file := range c.Keys {
		id, err := k.identity(file, c, listed)
		switch {
		case err == nil:
			plain = append(plain, id)
		case !c.optionalKeys:
			return nil, err
		}
	}
	all := append(slices.Clone(plain), listed...)
	for _, file := range c.Certificates {
		id, err := certify(file, all)
		if err != nil {
			return nil, err
		}
		certified = append(certified, id)
	}
	for _, file := range c.Keys {
		beside := strings.TrimSuffix(file, ".pub") + "-cert.pub"
		if _, err := os.Stat(beside); err != nil || slices.Contains(c.Certificates, beside) {
			continue
		}
		id, err := certify(beside, all)
		switch {
		case err == nil:
			certified = append(certified, id)
		case !c.optionalKeys:
			return nil, err
		}
	}
	out := append(certified, plain...)
	if !c.IdentitiesOnly {
		out = append(out, listed...)
	}
	return k.ordered(out), nil
}

// ordered drops keys that are there twice and puts the likely ones first.
func (k *keychain) ordered(ids []identity) []identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := map[string]bool{}
	rank := map[string]int{}
	out := ids[:0]
	for _, id := range ids {
		blob := string(id.signer.PublicKey().Marshal())
		if seen[blob] {
			continue
		}
		seen[blob] = true
		if !k.good[blob] {
			rank[blob] = 2
		}
		if id.touch {
			rank[blob]++
		}
		out = append(out, id)
	}
	slices.SortStableFunc(out, func(a, b identity) int {
		return cmp.Compare(rank[string(a.signer.PublicKey().Marshal())], rank[string(b.signer.PublicKey().Marshal())])
	})
	return out
}

// praise notes that a host took the key.
func (k *keychain) praise(s ssh.Signer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.good == nil {
		k.good = map[string]bool{}
	}
	k.good[string(s.PublicKey().Marshal())] = true
}

// identity is the key of a file. Where the file holds no private key that can
// be used, the agent may have it.
func (k *keychain) identity(file string, c *Config, listed []identity) (identity, error) {
	signer, err := k.open(file, c.Passphrase)
	if err == nil {
		return identity{signer: signer, what: "key " + file + " (" + describeKey(signer.PublicKey()) + ")"}, nil
	}
	public := publicHalf(file, err)
	if public == nil {
		return identity{}, err
	}
	for _, id := range listed {
		if bytes.Equal(id.signer.PublicKey().Marshal(), public.Marshal()) {
			id.what = "key " + file + " by the agent (" + describeKey(public) + ")"
			return id, nil
		}
	}
	switch touch := isTouchKey(public); {
	case c.Agent && touch:
		return identity{}, &KeyFileError{file, "it is a security key's, and the SSH agent does not have it: add it (ssh-add)", nil}
	case c.Agent && c.Passphrase == nil:
		return identity{}, &KeyFileError{file, "the SSH agent does not have the key, and no private key can be read there: add it to the agent (ssh-add)", nil}
	case touch:
		return identity{}, &KeyFileError{file, "it is a security key's: add it to the SSH agent (ssh-add) and use that", nil}
	}
	return identity{}, err
}

// publicHalf finds the public key of a file whose private key cannot be used.
func publicHalf(file string, err error) ssh.PublicKey {
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && locked.PublicKey != nil {
		return locked.PublicKey
	}
	for _, name := range []string{file, file + ".pub"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if key, _, _, _, err := ssh.ParseAuthorizedKey(raw); err == nil {
			return key
		}
	}
	return nil
}

// isTouchKey reports whether the key lies in a security key, which as a rule
// wants to be touched for each login.
func isTouchKey(key ssh.PublicKey) bool { return strings.HasPrefix(key.Type(), "sk-") }

func (k *keychain) open(file string, passphrase func(string) (string, error)) (ssh.AlgorithmSigner, error) {
	k.mu.Lock()
	if k.files == nil {
		k.files = map[string]*keyFile{}
	}
	f := k.files[file]
	if f == nil {
		f = &keyFile{}
		k.files[file] = f
	}
	k.mu.Unlock()
	f.once.Do(func() { f.signer, f.err = readKey(file, passphrase) })
	return f.signer, f.err
}

func readKey(file string, passphrase func(string) (string, error)) (ssh.AlgorithmSigner, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, &KeyFileError{file, "it cannot be read", err}
	}
	signer, err := ssh.ParsePrivateKey(raw)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			return nil, &KeyFileError{file, "it is not a private key", err}
		}
		return algorithmSigner(file, signer)
	}
	if passphrase == nil {
		return nil, &KeyFileError{file, "it is encrypted: give its passphrase, or add it to the SSH agent (ssh-add) and use that", locked}
	}
	phrase, err := passphrase(file)
	if err != nil {
		return nil, &KeyFileError{file, "there is no passphrase", err}
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(raw, []byte(phrase))
	if err != nil {
		return nil, &KeyFileError{file, "the passphrase does not open it", err}
	}
	return algorithmSigner(file, signer)
}

func algorithmSigner(file string, s ssh.Signer) (ssh.AlgorithmSigner, error) {
	if a, ok := s.(ssh.AlgorithmSigner); ok {
		return a, nil
	}
	return nil, &KeyFileError{file, "its kind of key is not supported", nil}
}

// certify joins the certificate in file with the key it belongs to.
func certify(file string, keys []identity) (identity, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return identity{}, &KeyFileError{file, "it cannot be read", err}
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return identity{}, &KeyFileError{file, "it is not an OpenSSH certificate", err}
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok || cert.CertType != ssh.UserCert {
		return identity{}, &KeyFileError{file, "it is not an OpenSSH user certificate", nil}
	}
	what := "certificate " + file
	if cert.ValidBefore < uint64(time.Now().Unix()) {
		what += fmt.Sprintf(" (EXPIRED at %s)", time.Unix(int64(cert.ValidBefore), 0).UTC().Format(time.RFC3339))
	}
	for _, id := range keys {
		if !bytes.Equal(id.signer.PublicKey().Marshal(), cert.Key.Marshal()) {
			continue
		}
		signer, err := ssh.NewCertSigner(cert, id.signer)
		if err != nil {
			return identity{}, &KeyFileError{file, "it does not fit its key", err}
		}
		a, err := algorithmSigner(file, signer)
		return identity{signer: a, what: what, agent: id.agent, touch: id.touch}, err
	}
	return identity{}, &KeyFileError{file, "no configured key belongs to it", nil}
}
