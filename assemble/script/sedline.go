// SPDX-License-Identifier: Apache-2.0

package script

import "strings"

// runSed applies a script to every line.
func runSed(commands []sedCommand, b []byte, quiet bool) string {
	var out strings.Builder
	all := lines(b)
	for i, line := range all {
		l := sedLine{n: i + 1, last: i == len(all)-1, text: line, end: "\n", keep: true}
		if l.last && !strings.HasSuffix(string(b), "\n") {
			l.end = ""
		}
		for j := range commands {
			if cmd := &commands[j]; l.keep && !l.quit && cmd.selects(l.n, l.last, l.text) != cmd.not {
				l.apply(cmd, &out)
			}
		}
		if l.keep && !quiet {
			out.WriteString(l.text + l.end)
		}
		if l.quit {
			break
		}
	}
	return out.String()
}

// A sedLine is one on its way through a script.
type sedLine struct {
	n          int
	last       bool
	text, end  string
	keep, quit bool
}

func (l *sedLine) apply(cmd *sedCommand, out *strings.Builder) {
	switch cmd.name {
	case 'd':
		l.keep = false
	case 'p':
		out.WriteString(l.text + l.end)
	case 'q':
		l.quit = true
	case 's':
		changed, did := cmd.substitute(l.text)
		l.text = changed
		if did && cmd.print {
			out.WriteString(l.text + l.end)
		}
	}
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
