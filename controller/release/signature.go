package release

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the published signatures use it; each file is hashed by SHA-512
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sort"
	"strings"
	"unicode/utf8"
)

// trusted are the SHA-256 fingerprints of Nextcloud's code signing root and
// intermediate (resources/codesigning/root.crt, the same in 28.0.2 and 29.0.1).
var trusted = map[string]bool{
	"fb418711e0cd2cae9be332cd61a1538214f55448b40170313f1c08b092ffcbfd": true, // Nextcloud Root Authority, 2016-2041
	"ff038235477d48db67da20962958f7f9f0739b3c568af49b7c6daa0d9d410ea0": true, // Code Signing Intermediate Authority
}

// manifest is a signature.json: SHA-512 by path, signed.
type manifest struct {
	Hashes      map[string]string `json:"hashes"`
	Signature   string            `json:"signature"`
	Certificate string            `json:"certificate"`
}

// readManifest parses a signature.json and proves it: the certificate leads to
// a pinned root, its CN is one of names, and the signature covers the hashes
// (lib/private/IntegrityCheck/Checker.php).
func readManifest(text, roots []byte, names ...string) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("cannot read signature.json: %w", err)
	}
	key, err := certifiedKey(m.Certificate, roots, names)
	if err != nil {
		return nil, err
	}
	sig, err := base64.StdEncoding.DecodeString(m.Signature)
	if err != nil {
		return nil, fmt.Errorf("cannot read signature: %w", err)
	}
	if err := verifyPSS(key, phpJSON(m.Hashes), sig); err != nil {
		return nil, err
	}
	return &m, nil
}

// certifiedKey checks the chain certificate, intermediate, root by hand: the
// root's fingerprint is pinned, and the profile of these certificates (a
// "server" certificate that signs code) is not one that x509.Verify knows.
func certifiedKey(certificate string, roots []byte, names []string) (*rsa.PublicKey, error) {
	leaf, err := parsePEM([]byte(certificate))
	if err != nil || len(leaf) != 1 {
		return nil, fmt.Errorf("cannot read the signer's certificate: %w", errors.Join(err, countError(len(leaf))))
	}
	authorities, err := parsePEM(roots)
	if err != nil {
		return nil, fmt.Errorf("cannot read resources/codesigning/root.crt: %w", err)
	}
	signed := false
	for _, ca := range authorities {
		sum := sha256.Sum256(ca.Raw)
		if !trusted[hex.EncodeToString(sum[:])] || !ca.IsCA {
			continue
		}
		if bytes.Equal(leaf[0].RawIssuer, ca.RawSubject) && ca.CheckSignature(leaf[0].SignatureAlgorithm, leaf[0].RawTBSCertificate, leaf[0].Signature) == nil {
			signed = true
		}
	}
	if !signed {
		return nil, fmt.Errorf("the certificate %q was not issued by Nextcloud's code signing authority", leaf[0].Subject.CommonName)
	}
	for _, n := range names {
		if leaf[0].Subject.CommonName == n {
			if key, ok := leaf[0].PublicKey.(*rsa.PublicKey); ok {
				return key, nil
			}
			return nil, fmt.Errorf("the certificate %q holds no RSA key", n)
		}
	}
	return nil, fmt.Errorf("the certificate is for %q, not for %s", leaf[0].Subject.CommonName, strings.Join(names, " or "))
}

func countError(n int) error {
	if n == 1 {
		return nil
	}
	return fmt.Errorf("%d certificates where one should be", n)
}

func parsePEM(text []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return list, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
}

// phpJSON renders the hashes as PHP's json_encode does after ksort: keys in
// byte order, "/" escaped, everything beyond ASCII as \uXXXX.
func phpJSON(hashes map[string]string) []byte {
	keys := make([]string, 0, len(hashes))
	for k := range hashes {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		phpString(&b, k)
		b.WriteByte(':')
		phpString(&b, hashes[k])
	}
	b.WriteByte('}')
	return b.Bytes()
}

func phpString(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		s = s[n:]
		switch {
		case r == '"' || r == '\\' || r == '/':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		case r < 0x20 || r > 0x7e:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// verifyPSS checks an RSASSA-PSS signature with SHA-1 over the message,
// MGF1-SHA-512 and no salt (RFC 8017, 9.1.2): phpseclib's default hash with the
// mask that Checker.php sets. crypto/rsa cannot mix the two hashes.
func verifyPSS(key *rsa.PublicKey, message, sig []byte) error {
	bad := errors.New("the signature does not cover the list of files")
	if len(sig) != key.Size() {
		return bad
	}
	bits := key.N.BitLen() - 1
	em := new(big.Int).Exp(new(big.Int).SetBytes(sig), big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, (bits+7)/8))
	sum := sha1.Sum(message)
	dbLen := len(em) - len(sum) - 1
	if dbLen < 1 || em[len(em)-1] != 0xbc {
		return bad
	}
	db, h := em[:dbLen], em[dbLen:len(em)-1]
	mask := mgf1SHA512(h, dbLen)
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= 0xff >> (8*len(em) - bits)
	for _, c := range db[:dbLen-1] {
		if c != 0 {
			return bad
		}
	}
	if db[dbLen-1] != 1 {
		return bad
	}
	want := sha1.Sum(append(make([]byte, 8), sum[:]...))
	if !bytes.Equal(want[:], h) {
		return bad
	}
	return nil
}

func mgf1SHA512(seed []byte, n int) []byte {
	var out []byte
	for i := uint32(0); len(out) < n; i++ {
		sum := sha512.Sum512(append(append([]byte{}, seed...), byte(i>>24), byte(i>>16), byte(i>>8), byte(i)))
		out = append(out, sum[:]...)
	}
	return out[:n]
}
