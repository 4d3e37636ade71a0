// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// lines splits a text. The last line need not end.
func lines(b []byte) []string {
	text := strings.TrimSuffix(string(b), "\n")
	if len(b) == 0 {
		return nil
	}
	return strings.Split(text, "\n")
}

func (c *Call) printLines(all []string) {
	if len(all) > 0 {
		fmt.Fprintln(c.Out, strings.Join(all, "\n"))
	}
}

func sortLines(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("urnz", "unique:u", "reverse:r", "numeric-sort:n")
	if err != nil {
		return err
	}
	if has(set, "z") {
		return c.unknown("-z")
	}
	b, err := c.inputs(rest)
	if err != nil {
		return c.Fail(err)
	}
	all := lines(b)
	number := func(s string) int {
		s = strings.TrimLeft(s, " \t")
		n, _ := strconv.Atoi(s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]) // no number counts as 0
		return n
	}
	slices.SortStableFunc(all, func(a, b string) int {
		if has(set, "n") && number(a) != number(b) {
			return number(a) - number(b)
		}
		return strings.Compare(a, b)
	})
	if has(set, "r") {
		slices.Reverse(all)
	}
	if has(set, "u") {
		all = slices.Compact(all)
	}
	c.printLines(all)
	return nil
}

func uniq(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("cdu", "count:c", "repeated:d", "unique:u")
	if err != nil {
		return err
	}
	b, err := c.inputs(rest)
	if err != nil {
		return c.Fail(err)
	}
	all := lines(b)
	for i := 0; i < len(all); {
		n := 1
		for i+n < len(all) && all[i+n] == all[i] {
			n++
		}
		if (n > 1 || !has(set, "d")) && (n == 1 || !has(set, "u")) {
			if has(set, "c") {
				fmt.Fprintf(c.Out, "%7d ", n)
			}
			fmt.Fprintln(c.Out, all[i])
		}
		i += n
	}
	return nil
}

func head(_ context.Context, c *Call) error { return c.ends(true) }

func tailLines(_ context.Context, c *Call) error { return c.ends(false) }

func (c *Call) ends(first bool) error {
	for i, a := range c.Args { // the old spelling, "-5"
		if _, err := strconv.ParseUint(strings.TrimPrefix(a, "-"), 10, 31); err == nil && i > 0 && strings.HasPrefix(a, "-") {
			c.Args = slices.Concat(c.Args[:i], []string{"-n", a[1:]}, c.Args[i+1:])
			break
		}
	}
	set, rest, err := c.Flags("n:q", "lines=:n")
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(orElse(set["n"], "10"), 10, 31)
	if err != nil || len(rest) > 1 {
		return c.Usage()
	}
	b, err := c.inputs(rest)
	if err != nil {
		return c.Fail(err)
	}
	all := lines(b)
	k := min(int(n), len(all))
	if first {
		c.printLines(all[:k])
	} else {
		c.printLines(all[len(all)-k:])
	}
	return nil
}

func count(_ context.Context, c *Call) error {
	set, rest, err := c.Flags("lwc", "lines:l", "words:w", "bytes:c")
	if err != nil {
		return err
	}
	if len(set) != 1 || len(rest) > 0 {
		return c.Usage()
	}
	b, err := c.Input()
	if err != nil {
		return err
	}
	switch {
	case has(set, "l"):
		fmt.Fprintln(c.Out, strings.Count(string(b), "\n"))
	case has(set, "w"):
		fmt.Fprintln(c.Out, len(strings.Fields(string(b))))
	default:
		fmt.Fprintln(c.Out, len(b))
	}
	return nil
}

func seq(_ context.Context, c *Call) error {
	var n []int
	for _, a := range c.Args[1:] {
		v, err := strconv.Atoi(a)
		if err != nil || v > maxCalls || v < -maxCalls {
			return c.Usage()
		}
		n = append(n, v)
	}
	first, step := 1, 1
	switch len(n) {
	case 1:
	case 2:
		first = n[0]
	case 3:
		first, step = n[0], n[1]
	default:
		return c.Usage()
	}
	if step == 0 {
		return c.Usage()
	}
	for i, last := first, n[len(n)-1]; step > 0 && i <= last || step < 0 && i >= last; i += step {
		fmt.Fprintln(c.Out, i)
	}
	return nil
}

// expr knows what scripts use of it: arithmetic and comparison of two, and the
// match of a pattern.
func expr(_ context.Context, c *Call) error {
	a := c.Args[1:]
	if len(a) != 3 {
		return c.Usage()
	}
	out := ""
	x, err1 := strconv.Atoi(a[0])
	y, err2 := strconv.Atoi(a[2])
	switch numbers := err1 == nil && err2 == nil; {
	case a[1] == ":":
		p, err := convert(a[2], false)
		if err != nil {
			return err
		}
		re, err := compile("^(?:" + p + ")")
		if err != nil {
			return err
		}
		m := re.FindStringSubmatch(a[0])
		switch {
		case len(m) > 1:
			out = m[1]
		case re.NumSubexp() == 0 && m != nil:
			out = strconv.Itoa(len(m[0]))
		case re.NumSubexp() == 0:
			out = "0"
		}
	case numbers && a[1] == "+":
		out = strconv.Itoa(x + y)
	case numbers && a[1] == "-":
		out = strconv.Itoa(x - y)
	case numbers && a[1] == "*":
		out = strconv.Itoa(x * y)
	case a[1] == "=" && !numbers:
		out = map[bool]string{true: "1", false: "0"}[a[0] == a[2]]
	default:
		return c.Usage()
	}
	fmt.Fprintln(c.Out, out)
	if out == "" || out == "0" {
		return Exit(1)
	}
	return nil
}
