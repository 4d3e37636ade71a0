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

// runSed applies a script to every line.
func runSed(commands []sedCommand, b []byte, quiet bool) string {
	var out strings.Builder
	all := lines(b)
	for i, line := range all {
		end := "\n"
		if i == len(all)-1 && !strings.HasSuffix(string(b), "\n") {
			end = ""
		}
		keep, quit := true, false
		for j := range commands {
			cmd := &commands[j]
			if cmd.selects(i+1, i == len(all)-1, line) == cmd.not {
				continue
			}
			switch cmd.name {
			case 'd':
				keep = false
			case 'p':
				out.WriteString(line + end)
			case 'q':
				quit = true
			case 's':
				changed, did := cmd.substitute(line)
				line = changed
				if did && cmd.print {
					out.WriteString(line + end)
				}
			}
			if !keep || quit {
				break
			}
		}
		if keep && !quiet {
			out.WriteString(line + end)
		}
		if quit {
			break
		}
	}
	return out.String()
}

func (a *sedAddress) matches(n int, last bool, line string) bool {
	switch {
	case a.re != nil:
		return a.re.MatchString(line)
	case a.last:
		return last
	default:
		return a.line == n
	}
}

// selects reports whether the command counts for a line.
func (cmd *sedCommand) selects(n int, last bool, line string) bool {
	switch {
	case cmd.from == nil:
		return true
	case cmd.to == nil:
		return cmd.from.matches(n, last, line)
	case n == 1 && cmd.from.re == nil && !cmd.from.last && cmd.from.line == 0:
		cmd.in = !cmd.to.matches(n, last, line) // "0,/x/" may end on the first line
		return true
	case cmd.in:
		if cmd.to.matches(n, last, line) || cmd.to.re == nil && !cmd.to.last && cmd.to.line <= n {
			cmd.in = false
		}
		return true
	case cmd.from.matches(n, last, line):
		cmd.in = cmd.to.re != nil || cmd.to.last && !last || cmd.to.line > n
		return true
	}
	return false
}

func (cmd *sedCommand) substitute(line string) (string, bool) {
	n := 1
	if cmd.global {
		n = -1
	}
	var b strings.Builder
	at := 0
	found := cmd.re.FindAllStringSubmatchIndex(line, n)
	for _, m := range found {
		b.WriteString(line[at:m[0]])
		b.WriteString(filled(cmd.with, line, m))
		at = m[1]
	}
	b.WriteString(line[at:])
	return b.String(), found != nil
}

// filled puts what was matched into a replacement.
func filled(with, line string, m []int) string {
	var b strings.Builder
	group := func(g int) {
		if 2*g+1 < len(m) && m[2*g] >= 0 {
			b.WriteString(line[m[2*g]:m[2*g+1]])
		}
	}
	for i := 0; i < len(with); i++ {
		switch ch := with[i]; {
		case ch == '&':
			group(0)
		case ch == '\\' && i+1 < len(with):
			i++
			switch {
			case with[i] >= '0' && with[i] <= '9':
				group(int(with[i] - '0'))
			case with[i] == 'n':
				b.WriteByte('\n')
			case with[i] == 't':
				b.WriteByte('\t')
			default:
				b.WriteByte(with[i])
			}
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}
