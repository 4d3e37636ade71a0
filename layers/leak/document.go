// SPDX-License-Identifier: Apache-2.0

package leak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Document looks through a JSON document that messages call name. The error is
// an *Error that names the field.
func (s *Scanner) Document(name string, b []byte) error {
	if s == nil || len(s.forms) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("looking through %s: %w", name, err)
	}
	return s.value(name, v)
}

// value looks through one value and those below it.
func (s *Scanner) value(at string, v any) error {
	switch v := v.(type) {
	case string:
		return s.text(at, v)
	case []any:
		for i, item := range v {
			if err := s.value(fmt.Sprintf("%s[%d]", at, i), item); err != nil {
				return err
			}
		}
	case map[string]any:
		return s.object(at, v)
	}
	return nil
}

// object looks through names and values, in the order of the names.
func (s *Scanner) object(at string, v map[string]any) error {
	for _, k := range slices.Sorted(maps.Keys(v)) {
		if err := s.text(at+"."+s.Hide(k), k); err != nil {
			return err
		}
		if err := s.value(at+"."+k, v[k]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scanner) text(at, text string) error {
	if slices.Contains(s.allowed, text) {
		return nil
	}
	if f := s.find([]byte(text)); f != nil {
		return &Error{In: at, Of: f.of}
	}
	return nil
}
