// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// rewriteJSON returns a page in JSON with other links (PEP 691). link is given
// each with what the page says of the file. All else stays as it is, known or not.
// A page takes many MB, of which only the links matter: so nothing is made of the
// others.
func rewriteJSON(page []byte, link func(jsonFile) string) ([]byte, error) {
	t := &jsonText{b: page}
	out := make([]byte, 0, len(page)+len(page)/4)
	copied := 0
	err := t.members(func(key string) error {
		if key != "files" || t.next() != '[' {
			return t.skip()
		}
		return t.elements(func() error {
			f, err := t.file()
			if err != nil || f.url == "" {
				return err
			}
			text, err := json.Marshal(link(f))
			out = append(append(out, page[copied:f.from]...), text...)
			copied = f.to
			return err
		})
	})
	return append(out, page[copied:]...), err
}

// A jsonFile is a file of a page: its link, which stands at [from, to), and what
// there is beside it.
type jsonFile struct {
	url, digest string
	size        int64 // 0 if there is none, -1 if it is no number of bytes
	from, to    int
}

// file reads the entry of a file.
func (t *jsonText) file() (f jsonFile, err error) {
	err = t.members(func(key string) (err error) {
		switch {
		case key == "url":
			f.from = t.at
			f.url, err = t.text()
			f.to = t.at
		case key == "size":
			f.size, err = t.count()
		case key == "hashes" && t.next() == '{':
			err = t.members(func(key string) (err error) {
				if key != "sha256" {
					return t.skip()
				}
				f.digest, err = t.text()
				return err
			})
		default:
			err = t.skip()
		}
		return err
	})
	return f, err
}

// A jsonText is read from front to back (RFC 8259).
type jsonText struct {
	b  []byte
	at int
}

var errJSON = errors.New("it is no JSON of an index")

// next returns the byte at which the next value or mark begins, 0 at the end.
func (t *jsonText) next() byte {
	for ; t.at < len(t.b); t.at++ {
		switch t.b[t.at] {
		case ' ', '\t', '\n', '\r':
		default:
			return t.b[t.at]
		}
	}
	return 0
}

// take moves past the byte c, which has to be next.
func (t *jsonText) take(c byte) error {
	if t.next() != c {
		return errJSON
	}
	t.at++
	return nil
}

// members calls each for the members of an object, at their values, which it
// moves past.
func (t *jsonText) members(each func(key string) error) error {
	return t.list('{', '}', func() error {
		key, err := t.text()
		if err == nil {
			err = t.take(':')
		}
		if err != nil {
			return err
		}
		t.next()
		return each(key)
	})
}

// elements calls each for the elements of an array, which it moves past.
func (t *jsonText) elements(each func() error) error { return t.list('[', ']', each) }

func (t *jsonText) list(begin, end byte, each func() error) error {
	if err := t.take(begin); err != nil {
		return err
	}
	if t.next() == end {
		return t.take(end)
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if t.next() == end {
			return t.take(end)
		}
		if err := t.take(','); err != nil {
			return err
		}
	}
}

// text reads a string.
func (t *jsonText) text() (string, error) {
	t.next()
	from := t.at
	if err := t.skipText(); err != nil {
		return "", err
	}
	raw := t.b[from:t.at]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// skipText moves past a string.
func (t *jsonText) skipText() error {
	if err := t.take('"'); err != nil {
		return err
	}
	for {
		n := bytes.IndexByte(t.b[t.at:], '"')
		if n < 0 {
			return errJSON
		}
		t.at += n + 1
		escapes := 0
		for t.b[t.at-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return nil
		}
	}
}

// count reads a number of bytes: 0 for null, -1 for what is none.
func (t *jsonText) count() (int64, error) {
	t.next()
	from := t.at
	if err := t.skip(); err != nil {
		return 0, err
	}
	raw := string(bytes.TrimSpace(t.b[from:t.at]))
	if raw == "null" {
		return 0, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 0 {
		return -1, nil //nolint:nilerr // a page is handed on all the same
	}
	return n, nil
}

// skip moves past a value, whatever it is.
func (t *jsonText) skip() error {
	for depth := 0; ; {
		switch t.next() {
		case 0:
			return errJSON
		case '"':
			if err := t.skipText(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			t.at++
		case '}', ']':
			if depth--; depth < 0 {
				return errJSON
			}
			t.at++
		case ',', ':':
			if depth == 0 {
				return errJSON
			}
			t.at++
		default:
			t.word()
		}
		if depth == 0 {
			return nil
		}
	}
}

// word moves past a number, true, false or null.
func (t *jsonText) word() {
	n := bytes.IndexAny(t.b[t.at:], ",:{}[]\" \t\r\n")
	if n < 0 {
		n = len(t.b) - t.at
	}
	t.at += n
}
