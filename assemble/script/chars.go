// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// translate is tr(1).
func translate(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("dscC", "delete:d", "squeeze-repeats:s", "complement:c")
	if err != nil {
		return err
	}
	if len(rest) < 1 || len(rest) > 2 || has(set, "d") != (len(rest) == 1) && !has(set, "s") || has(set, "s") && has(set, "d") {
		return c.Usage()
	}
	t := translation{others: has(set, "c") || has(set, "C"), remove: has(set, "d"), squeeze: has(set, "s")}
	var ok bool
	if t.from, ok = letters(rest[0]); !ok {
		return c.Usage()
	}
	t.to = t.from
	if len(rest) == 2 {
		if t.to, ok = letters(rest[1]); !ok || len(t.to) == 0 || has(set, "c") {
			return c.Usage()
		}
	}
	b, err := c.Input()
	if err != nil {
		return err
	}
	_, err = c.Out.Write(t.of(b))
	return err
}

// A translation is what tr does with the characters in from, or with all others.
type translation struct {
	from, to                []byte
	others, remove, squeeze bool
}

func (t translation) of(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, ch := range b {
		i := slices.Index(t.from, ch)
		in := (i >= 0) != t.others
		switch {
		case in && t.remove:
			continue
		case in && i >= 0:
			ch = t.to[min(i, len(t.to)-1)]
		}
		if in && t.squeeze && len(out) > 0 && out[len(out)-1] == ch {
			continue
		}
		out = append(out, ch)
	}
	return out
}

var classes = map[string]string{
	"[:upper:]": "A-Z", "[:lower:]": "a-z", "[:digit:]": "0-9", "[:space:]": " \t-\r", "[:alpha:]": "A-Za-z", "[:alnum:]": "A-Za-z0-9",
	"[:blank:]": "\t ",
}

// letters lists the characters of a set of tr(1).
func letters(spec string) (out []byte, ok bool) {
	for name, set := range classes {
		spec = strings.ReplaceAll(spec, name, set)
	}
	if strings.Contains(spec, "[:") || strings.Contains(spec, "[=") {
		return nil, false
	}
	for i := 0; i < len(spec); i++ {
		ch, more := spec[i], i+1 < len(spec)
		switch {
		case ch == '\\' && more:
			i++
			if ch, ok = unescaped(spec[i]); !ok {
				return nil, false
			}
			out = append(out, ch)
		case ch == '-' && more && len(out) > 0:
			i++
			for x := int(out[len(out)-1]) + 1; x <= int(spec[i]); x++ {
				out = append(out, byte(x))
			}
		default:
			out = append(out, ch)
		}
	}
	return out, true
}

// unescaped returns what a letter means after a backslash. Numbers of more than
// one digit aren't known.
func unescaped(ch byte) (byte, bool) {
	if j := strings.IndexByte("ntr\\-0", ch); j >= 0 {
		return "\n\t\r\\-\x00"[j], true
	}
	return ch, ch < '0' || ch > '9'
}

func cut(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("d:f:c:s", "delimiter=:d", "fields=:f", "characters=:c", "only-delimited:s")
	if err != nil {
		return err
	}
	b, err := c.inputs(rest)
	if err != nil {
		return c.Fail(err)
	}
	spec, sep := set["f"], orElse(set["d"], "\t")
	if has(set, "c") {
		spec, sep = set["c"], ""
	}
	for _, line := range lines(b) {
		parts := strings.Split(line, sep)
		if len(parts) == 1 && has(set, "f") {
			if !has(set, "s") {
				fmt.Fprintln(c.Out, line)
			}
			continue
		}
		out, ok := spans(spec, parts)
		if !ok {
			return c.Usage()
		}
		fmt.Fprintln(c.Out, strings.Join(out, sep))
	}
	return nil
}

// spans returns the parts that a list such as "1,3-" names.
func spans(spec string, parts []string) (out []string, ok bool) {
	for r := range strings.SplitSeq(spec, ",") {
		from, to, ok := span(r, len(parts))
		if !ok {
			return nil, false
		}
		for i := from; i <= min(to, len(parts)); i++ {
			out = append(out, parts[i-1])
		}
	}
	return out, true
}

func span(r string, last int) (from, to int, ok bool) {
	a, b, dash := strings.Cut(r, "-")
	from, to = 1, last
	var err error
	if a != "" {
		from, err = strconv.Atoi(a)
	}
	switch {
	case !dash:
		to = from
	case b != "" && err == nil:
		to, err = strconv.Atoi(b)
	}
	return from, to, err == nil && from >= 1
}
