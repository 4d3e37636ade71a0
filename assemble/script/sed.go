// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// A sedCommand is one of a sed script: s, d, p, q with an address.
type sedCommand struct {
	from, to *sedAddress // to: of a range
	not      bool
	name     byte
	re       *regexp.Regexp
	with     string
	global   bool
	print    bool
	in       bool // within its range
}

// A sedAddress is a line's number, the last line, or what it matches.
type sedAddress struct {
	line int
	last bool
	re   *regexp.Regexp
}

func sed(_ context.Context, c *Call) error {
	set, rest, script, err := c.sedArgs()
	if err != nil {
		return err
	}
	commands, err := parseSed(script, has(set, "E") || has(set, "r"))
	if err != nil {
		return err
	}
	if !has(set, "i") {
		b, err := c.inputs(rest)
		if err != nil {
			return c.Fail(err)
		}
		_, err = c.Out.Write([]byte(runSed(commands, b, has(set, "n"))))
		return err
	}
	return c.each(rest, func(p string) error {
		b, err := c.read(p)
		if err != nil {
			return err
		}
		at, err := c.Tree.Lstat(c.Abs(p))
		if err == nil && at.Mode.Type() == fs.ModeSymlink {
			return &UnsupportedError{"sed -i of a link"}
		}
		for i := range commands {
			commands[i].in = false
		}
		return c.Tree.WriteFile(c.Abs(p), []byte(runSed(commands, b, has(set, "n"))), 0o644)
	})
}

// sedArgs gathers the parts of the script.
func (c *Call) sedArgs() (set map[string]string, rest []string, script string, err error) {
	var parts, args []string
	for i := 1; i < len(c.Args); i++ {
		a := c.Args[i]
		switch {
		case a == "-e" || a == "-ne" || a == "--expression":
			if a == "-ne" {
				args = append(args, "-n")
			}
			if i++; i < len(c.Args) {
				parts = append(parts, c.Args[i])
			}
		case strings.HasPrefix(a, "--expression="):
			parts = append(parts, strings.TrimPrefix(a, "--expression="))
		case len(a) > 2 && strings.HasPrefix(a, "-e"):
			parts = append(parts, a[2:])
		default:
			args = append(args, a)
		}
	}
	inner := *c
	inner.Args = append([]string{"sed"}, args...)
	set, rest, err = inner.Flags("nirEs", "quiet:n", "silent:n", "in-place:i", "regexp-extended:E")
	if err == nil && parts == nil {
		if len(rest) == 0 {
			return nil, nil, "", c.Usage()
		}
		parts, rest = rest[:1], rest[1:]
	}
	return set, rest, strings.Join(parts, "\n"), err
}

// A sedParser reads a script.
type sedParser struct {
	s        string
	extended bool
	last     string // the last regular expression: an empty one stands for it
}

func parseSed(script string, extended bool) ([]sedCommand, error) {
	p := &sedParser{s: script, extended: extended}
	var out []sedCommand
	for {
		p.s = strings.TrimLeft(p.s, " \t\n;")
		if p.s == "" {
			return out, nil
		}
		if p.s[0] == '#' {
			_, p.s, _ = strings.Cut(p.s, "\n")
			continue
		}
		cmd, err := p.command()
		if err != nil {
			return nil, &UnsupportedError{fmt.Sprintf("sed %.60q", script)}
		}
		out = append(out, cmd)
	}
}

var errSed = fmt.Errorf("not understood")

func (p *sedParser) command() (cmd sedCommand, err error) {
	if cmd.from, err = p.address(); err != nil {
		return cmd, err
	}
	if strings.HasPrefix(p.s, ",") {
		p.s = strings.TrimLeft(p.s[1:], " ")
		if cmd.to, err = p.address(); err != nil || cmd.to == nil {
			return cmd, errSed
		}
	}
	p.s = strings.TrimLeft(p.s, " ")
	if strings.HasPrefix(p.s, "!") {
		cmd.not = true
		p.s = strings.TrimLeft(p.s[1:], " ")
	}
	if p.s == "" {
		return cmd, errSed
	}
	cmd.name, p.s = p.s[0], p.s[1:]
	switch cmd.name {
	case 'd', 'p', 'q':
	case 's':
		if err := p.substitution(&cmd); err != nil {
			return cmd, err
		}
	default:
		return cmd, errSed
	}
	if end := strings.TrimLeft(p.s, " \t"); end != "" && !strings.ContainsRune(";\n#", rune(end[0])) {
		return cmd, errSed
	}
	return cmd, nil
}

func (p *sedParser) address() (*sedAddress, error) {
	switch {
	case p.s == "":
		return nil, nil
	case p.s[0] == '$':
		p.s = p.s[1:]
		return &sedAddress{last: true}, nil
	case p.s[0] >= '0' && p.s[0] <= '9':
		i := len(p.s) - len(strings.TrimLeft(p.s, "0123456789"))
		n, err := strconv.Atoi(p.s[:i])
		p.s = p.s[i:]
		return &sedAddress{line: n}, err
	case p.s[0] == '/' || p.s[0] == '\\' && len(p.s) > 1:
		sep := p.s[0]
		p.s = p.s[1:]
		if sep == '\\' {
			sep, p.s = p.s[0], p.s[1:]
		}
		text, ok := p.until(sep)
		if !ok {
			return nil, errSed
		}
		re, err := p.compile(text, "")
		return &sedAddress{re: re}, err
	}
	return nil, nil
}

// until reads up to sep, which a backslash before it makes a part of the text.
func (p *sedParser) until(sep byte) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p.s); i++ {
		switch {
		case p.s[i] == '[' && sep != '[':
			// A bracket holds separators as they are.
			if _, n := bracket(p.s[i:]); n > 0 && !strings.Contains(p.s[i:i+n], "\n") {
				b.WriteString(p.s[i : i+n])
				i += n - 1
				continue
			}
			b.WriteByte('[')
		case p.s[i] == '\\' && i+1 < len(p.s):
			i++
			if p.s[i] != sep {
				b.WriteByte('\\')
			}
			b.WriteByte(p.s[i])
		case p.s[i] == sep:
			p.s = p.s[i+1:]
			return b.String(), true
		default:
			b.WriteByte(p.s[i])
		}
	}
	return "", false
}

func (p *sedParser) compile(text, flags string) (*regexp.Regexp, error) {
	if text == "" {
		text = p.last
	}
	p.last = text
	q, err := convert(text, p.extended)
	if err != nil {
		return nil, err
	}
	if flags != "" {
		q = "(?" + flags + ")" + q
	}
	return compile(q)
}

func (p *sedParser) substitution(cmd *sedCommand) error {
	if p.s == "" {
		return errSed
	}
	sep := p.s[0]
	p.s = p.s[1:]
	text, ok := p.until(sep)
	if !ok {
		return errSed
	}
	if cmd.with, ok = p.replacement(sep); !ok {
		return errSed
	}
	flags := ""
	for p.s != "" && strings.IndexByte("gpiI", p.s[0]) >= 0 {
		switch p.s[0] {
		case 'g':
			cmd.global = true
		case 'p':
			cmd.print = true
		default:
			flags = "i"
		}
		p.s = p.s[1:]
	}
	var err error
	cmd.re, err = p.compile(text, flags)
	return err
}

// replacement reads the text that is put in, which has no brackets.
func (p *sedParser) replacement(sep byte) (string, bool) {
	for i := 0; i < len(p.s); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case sep:
			text := p.s[:i]
			p.s = p.s[i+1:]
			return text, true
		}
	}
	return "", false
}
