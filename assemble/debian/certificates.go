// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // what the names of OpenSSL's links are made of
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"inlay/assemble/script"
)

const (
	certsDir   = "/etc/ssl/certs"
	bundleFile = certsDir + "/ca-certificates.crt"
)

// certificates is update-ca-certificates(8).
func certificates(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("vf", "verbose:v", "fresh:f", "hooksdir=", "default")
	if err != nil {
		return err
	}
	if _, ok := set["default"]; ok || len(rest) > 0 {
		return c.Usage()
	}
	hooks, given := set["hooksdir"]
	if !given {
		hooks = "/etc/ca-certificates/update.d"
	}
	u := &certUpdate{c: c}
	if err := u.update(); err != nil {
		return c.Fail(err)
	}
	if names, err := c.Tree.ReadDir(hooks); hooks != "" && err == nil && len(names) > 0 {
		for _, n := range names {
			c.Skip(n + ": " + hook)
		}
	}
	return nil
}

type certUpdate struct {
	c      *script.Call
	bundle bytes.Buffer
	links  map[string]bool // names of the links made
}

func (u *certUpdate) update() error {
	u.links = map[string]bool{}
	chosen, err := u.chosen()
	if err != nil {
		return err
	}
	local, err := u.locals("/usr/local/share/ca-certificates", nil)
	if err != nil {
		return err
	}
	for _, file := range append(chosen, local...) {
		if err := u.add(file); err != nil {
			return err
		}
	}
	if err := u.removeOrphans(); err != nil {
		return err
	}
	if err := u.c.Tree.RemoveAll(bundleFile); err != nil {
		return err
	}
	if err := u.c.Tree.WriteFile(bundleFile, u.bundle.Bytes(), 0o644); err != nil {
		return err
	}
	return u.rehash()
}

// chosen lists the certificates that the configuration names. One that isn't
// there is left out, of which the program only warns.
func (u *certUpdate) chosen() (files []string, err error) {
	conf, err := text(u.c.Tree, "/etc/ca-certificates.conf")
	for line := range strings.Lines(conf) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		file := "/usr/share/ca-certificates/" + line
		if _, err := u.c.Tree.Stat(file); err == nil {
			files = append(files, file)
		}
	}
	return files, err
}

// locals lists the certificates of the administrator, sorted.
func (u *certUpdate) locals(dir string, all []string) ([]string, error) {
	names, err := u.c.Tree.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		p := path.Join(dir, n)
		f, err := u.c.Tree.Stat(p)
		switch {
		case err != nil:
		case f.Mode.IsDir():
			if all, err = u.locals(p, all); err != nil {
				return nil, err
			}
		case strings.HasSuffix(n, ".crt"):
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all, nil
}

// add links a certificate and appends it to the bundle.
func (u *certUpdate) add(file string) error {
	b, err := u.c.Tree.ReadFile(file)
	if err != nil {
		return err
	}
	name := strings.NewReplacer(" ", "_", ",", "_", "(", "=", ")", "=").Replace(strings.TrimSuffix(path.Base(file), ".crt")) + ".pem"
	u.links[name] = true
	if err := u.link(file, path.Join(certsDir, name)); err != nil {
		return err
	}
	u.bundle.Write(b)
	if len(b) > 0 && b[len(b)-1] != '\n' {
		u.bundle.WriteByte('\n')
	}
	return nil
}

// removeOrphans removes links to certificates that are gone or no longer wanted.
func (u *certUpdate) removeOrphans() error {
	names, err := u.c.Tree.ReadDir(certsDir)
	if err != nil {
		return err
	}
	for _, n := range names {
		p := path.Join(certsDir, n)
		f, err := u.c.Tree.Lstat(p)
		if err != nil || !strings.HasSuffix(n, ".pem") || f.Mode.Type() != fs.ModeSymlink || u.links[n] {
			continue
		}
		_, err = u.c.Tree.Stat(p)
		mine := strings.HasPrefix(f.Link, "/usr/share/ca-certificates/") || strings.HasPrefix(f.Link, "/usr/local/share/ca-certificates/")
		if err != nil || mine {
			if err := u.c.Tree.Remove(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// rehash makes the links by which OpenSSL finds certificates, as "openssl
// rehash" does.
func (u *certUpdate) rehash() error {
	names, err := u.c.Tree.ReadDir(certsDir)
	if err != nil {
		return err
	}
	want, err := u.hashLinks(names)
	if err != nil {
		return err
	}
	for _, n := range names {
		if isHashLink(n) && want[n] == "" {
			if err := u.c.Tree.Remove(path.Join(certsDir, n)); err != nil {
				return err
			}
		}
	}
	for _, link := range slices.Sorted(maps.Keys(want)) {
		if err := u.link(want[link], path.Join(certsDir, link)); err != nil {
			return err
		}
	}
	return nil
}

// hashLinks returns the links that have to be there, and where they lead.
func (u *certUpdate) hashLinks(names []string) (map[string]string, error) {
	used, want := map[string]int{}, map[string]string{}
	for _, n := range names {
		if !slices.Contains([]string{".pem", ".crt", ".cer", ".crl"}, path.Ext(n)) {
			continue
		}
		hash, ok, err := u.hashOf(path.Join(certsDir, n))
		if err != nil {
			return nil, err
		}
		if ok {
			want[fmt.Sprintf("%s.%d", hash, used[hash])] = n
			used[hash]++
		}
	}
	return want, nil
}

// link makes name a link to target, whatever it was.
func (u *certUpdate) link(target, name string) error {
	at, err := u.c.Tree.Lstat(name)
	if err == nil && at.Link == target {
		return nil
	}
	if err == nil {
		if err := u.c.Tree.Remove(name); err != nil {
			return err
		}
	}
	return u.c.Tree.Symlink(target, name)
}

func isHashLink(n string) bool {
	hash, number, ok := strings.Cut(n, ".")
	return ok && len(hash) == 8 && strings.Trim(hash, "0123456789abcdef") == "" && number != "" && strings.Trim(number, "0123456789") == ""
}

// hashOf returns the hash of the subject of the one certificate in a file.
// OpenSSL skips files of more than one, like the bundle.
func (u *certUpdate) hashOf(p string) (string, bool, error) {
	f, err := u.c.Tree.Stat(p)
	if err != nil || !f.Mode.IsRegular() {
		return "", false, nil //nolint:nilerr // a link to nowhere has no hash
	}
	b, err := u.c.Tree.ReadFile(p)
	if err != nil {
		return "", false, err
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
		return "", false, nil
	}
	if more, _ := pem.Decode(rest); more != nil {
		return "", false, nil
	}
	hash, err := subjectHash(block.Bytes)
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", p, err)
	}
	return hash, true, nil
}

// subjectHash is X509_subject_name_hash of OpenSSL: the first bytes of the SHA-1
// of the name in its canonical form.
func subjectHash(der []byte) (string, error) {
	seq, err := sequence(der)
	if err != nil || len(seq) == 0 {
		return "", errors.New("it is no certificate")
	}
	fields, err := sequence(seq[0].FullBytes)
	if err != nil {
		return "", errors.New("it is no certificate")
	}
	if len(fields) > 0 && fields[0].Class == asn1.ClassContextSpecific {
		fields = fields[1:] // the version
	}
	if len(fields) < 5 {
		return "", errors.New("it is no certificate")
	}
	canonical, err := canonicalName(fields[4].FullBytes)
	if err != nil {
		return "", err
	}
	sum := sha1.Sum(canonical) //nolint:gosec // see above
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:])), nil
}

// sequence returns the values that the first value of der is made of.
func sequence(der []byte) ([]asn1.RawValue, error) {
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil, err
	}
	var out []asn1.RawValue
	for rest := outer.Bytes; len(rest) > 0; {
		var v asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// canonicalName encodes a name as OpenSSL compares it: strings in UTF-8, lower
// case, with single blanks, and without the outer sequence.
func canonicalName(der []byte) ([]byte, error) {
	sets, err := sequence(der)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, set := range sets {
		pairs, err := sequence(set.FullBytes)
		if err != nil {
			return nil, err
		}
		var encoded [][]byte
		for _, pair := range pairs {
			b, err := canonicalPair(pair.FullBytes)
			if err != nil {
				return nil, err
			}
			encoded = append(encoded, b)
		}
		slices.SortFunc(encoded, bytes.Compare)
		b, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Join(encoded, nil)})
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

func canonicalPair(der []byte) ([]byte, error) {
	parts, err := sequence(der)
	if err != nil || len(parts) != 2 {
		return nil, errors.New("its subject is damaged")
	}
	value := parts[1].FullBytes
	if s, ok := stringOf(parts[1]); ok {
		s = strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }), " "))
		if value, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(s)}); err != nil {
			return nil, err
		}
	}
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(bytes.Clone(parts[0].FullBytes), value...)})
}

// stringOf returns the text of the kinds of strings that are made canonical.
func stringOf(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, 26: // VisibleString
		return string(v.Bytes), true
	case asn1.TagT61String:
		runes := make([]rune, len(v.Bytes)) // taken for Latin-1
		for i, b := range v.Bytes {
			runes[i] = rune(b)
		}
		return string(runes), true
	case asn1.TagBMPString:
		units := make([]uint16, len(v.Bytes)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(v.Bytes[2*i:])
		}
		return string(utf16.Decode(units)), true
	}
	return "", false
}
