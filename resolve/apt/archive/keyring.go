// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"inlay/resolve/apt/setup"
)

// A trust is whose signature under a release file counts.
type trust struct {
	keys         openpgp.EntityList
	fingerprints []string // of the keys that count, in capitals, with "!" at the end if subkeys don't; none: all
	from         []string // where the keys are from, for errors
}

// minRSABits is the shortest RSA key whose signature counts.
const minRSABits = 2048

// trustOf gathers the keys that a source accepts. Keyrings that can't be read
// are an error where the source names them; among those for every source they
// are left out, as apt does.
func trustOf(s *setup.Source, keyrings map[string][]byte) (*trust, error) {
	t := &trust{}
	for _, by := range s.SignedBy {
		if err := t.accept(by, s.Where, keyrings); err != nil {
			return nil, err
		}
	}
	if len(t.from) > 0 {
		return t, nil
	}
	for _, name := range slices.Sorted(maps.Keys(keyrings)) {
		if setup.Trusted(name) {
			_ = t.add(keyrings[name], "/"+name) // left out, see above
		}
	}
	if len(t.keys) == 0 {
		return nil, errors.New("there is no key to check its signature with")
	}
	return t, nil
}

// accept adds what a source names: a keyring, a key or a fingerprint.
func (t *trust) accept(by, where string, keyrings map[string][]byte) error {
	switch {
	case strings.HasPrefix(by, "/"):
		b, ok := keyrings[setup.KeyringPath(by)]
		if !ok {
			return fmt.Errorf("there is no keyring %s", by)
		}
		return t.add(b, by)
	case strings.Contains(by, "-----BEGIN"):
		return t.add([]byte(by), "of "+where)
	default:
		t.fingerprints = append(t.fingerprints, strings.ToUpper(by))
		return nil
	}
}

// add adds the keys of a keyring, in ASCII armour or not.
func (t *trust) add(b []byte, from string) error {
	keys, err := readKeys(b)
	if err != nil {
		return fmt.Errorf("the keyring %s can't be read: %w", from, err)
	}
	t.keys = append(t.keys, keys...)
	t.from = append(t.from, from)
	return nil
}

const armourMark = "-----BEGIN PGP PUBLIC KEY BLOCK-----"

func readKeys(b []byte) (keys openpgp.EntityList, err error) {
	if !bytes.Contains(b, []byte(armourMark)) {
		return openpgp.ReadKeyRing(bytes.NewReader(b))
	}
	for r := bytes.NewReader(b); ; {
		block, err := armor.Decode(r)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		more, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no key")
	}
	return keys, nil
}

// signedText returns what is signed in a clear-signed file, and the fingerprint
// of the key that signed it. There may be nothing else in the file: what
// surrounds the signed text is signed by nobody.
func (t *trust) signedText(file []byte, now time.Time) (text []byte, fingerprint string, err error) {
	if !bytes.HasPrefix(file, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, "", errors.New("it doesn't begin with signed text")
	}
	block, rest := clearsign.Decode(file)
	if block == nil {
		return nil, "", errors.New("its signature can't be read")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, "", errors.New("there is text behind its signature, which nobody signed")
	}
	fingerprint, err = t.verify(block.Bytes, block.ArmoredSignature.Body, now)
	return block.Bytes, fingerprint, err
}

// detached checks the signature of text that is in a file of its own.
func (t *trust) detached(text, signature []byte, now time.Time) (fingerprint string, err error) {
	var body io.Reader = bytes.NewReader(signature)
	if bytes.HasPrefix(bytes.TrimSpace(signature), []byte("-----BEGIN")) {
		block, err := armor.Decode(body)
		if err != nil {
			return "", fmt.Errorf("its signature can't be read: %w", err)
		}
		body = block.Body
	}
	return t.verify(text, body, now)
}

// verify looks for one good signature. Archives sign with old and new keys, of
// which a keyring may hold only some.
func (t *trust) verify(text []byte, signatures io.Reader, now time.Time) (fingerprint string, err error) {
	var problems []string
	for r := packet.NewReader(signatures); ; {
		p, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", fmt.Errorf("its signature can't be read: %w", err)
		}
		s, ok := p.(*packet.Signature)
		if !ok {
			continue
		}
		fingerprint, err := t.verifyOne(text, s, now)
		if err == nil {
			return fingerprint, nil
		}
		problems = append(problems, err.Error())
	}
	if len(problems) == 0 {
		return "", errors.New("it has no signature")
	}
	return "", errors.New(strings.Join(problems, "; "))
}

func (t *trust) verifyOne(text []byte, s *packet.Signature, now time.Time) (fingerprint string, err error) {
	var b bytes.Buffer
	if err := s.Serialize(&b); err != nil {
		return "", fmt.Errorf("a signature can't be read: %w", err)
	}
	issuer := "an unknown key"
	if s.IssuerKeyId != nil {
		issuer = fmt.Sprintf("the key %016X", *s.IssuerKeyId)
	}
	_, signer, err := openpgp.VerifyDetachedSignature(t.keys, bytes.NewReader(text), &b, &packet.Config{
		Time:       func() time.Time { return now },
		MinRSABits: minRSABits,
		RejectMessageHashAlgorithms: map[crypto.Hash]bool{
			crypto.MD5: true, crypto.SHA1: true, crypto.RIPEMD160: true,
		},
	})
	if err != nil {
		return "", fmt.Errorf("the signature of %s isn't good: %w", issuer, err)
	}
	fingerprint = fmt.Sprintf("%X", signer.PrimaryKey.Fingerprint)
	if !t.counts(signer, s) {
		return "", fmt.Errorf("it is signed by %s, which the source doesn't name", fingerprint)
	}
	return fingerprint, nil
}

// counts reports whether the source accepts the key that made s.
func (t *trust) counts(signer *openpgp.Entity, s *packet.Signature) bool {
	if len(t.fingerprints) == 0 {
		return true
	}
	used := hex.EncodeToString(s.IssuerFingerprint)
	for _, want := range t.fingerprints {
		exact, only := strings.CutSuffix(want, "!")
		if strings.EqualFold(exact, used) || !only && strings.EqualFold(exact, hex.EncodeToString(signer.PrimaryKey.Fingerprint)) {
			return true
		}
	}
	return false
}
