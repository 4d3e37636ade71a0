// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"inlay/layers"
)

// Flags reads the options of a call as getopt(3) does. Short lists the letters,
// with a ":" behind those that take a value; long lists names, with a "=" behind
// those that do and "name:x" for another name of the letter x. An option that
// isn't listed is an *UnsupportedError. It returns the options with their last
// values, and the other arguments.
func (c *Call) Flags(short string, long ...string) (set map[string]string, rest []string, err error) {
	set = make(map[string]string)
	args := c.Args[1:]
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		switch {
		case a == "--":
			return set, append(rest, args...), nil
		case strings.HasPrefix(a, "--"):
			args, err = c.longFlag(a[2:], args, set, long)
		case len(a) > 1 && a[0] == '-':
			args, err = c.shortFlags(a[1:], args, set, short)
		default:
			rest = append(rest, a)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return set, rest, nil
}

func (c *Call) longFlag(a string, args []string, set map[string]string, long []string) ([]string, error) {
	name, value, given := strings.Cut(a, "=")
	for _, l := range long {
		l, letter, _ := strings.Cut(l, ":")
		l, takes := strings.CutSuffix(l, "=")
		if l != name {
			continue
		}
		if takes && !given {
			if len(args) == 0 {
				break
			}
			value, args = args[0], args[1:]
		}
		if letter != "" {
			name = letter
		}
		set[name] = value
		return args, nil
	}
	return nil, c.unknown("--" + name)
}

func (c *Call) shortFlags(letters string, args []string, set map[string]string, short string) ([]string, error) {
	for letters != "" {
		letter := letters[:1]
		letters = letters[1:]
		i := strings.Index(short, letter)
		switch {
		case i < 0 || letter == ":":
			return nil, c.unknown("-" + letter)
		case i+1 < len(short) && short[i+1] == ':':
			if letters == "" {
				if len(args) == 0 {
					return nil, c.unknown("-" + letter)
				}
				letters, args = args[0], args[1:]
			}
			set[letter] = letters
			return args, nil
		default:
			set[letter] = ""
		}
	}
	return args, nil
}

// unknown is the error of an option that isn't known.
func (c *Call) unknown(option string) error { return &UnsupportedError{c.Args[0] + " " + option} }

// Usage is the error of arguments that aren't understood.
func (c *Call) Usage() error {
	return &UnsupportedError{strings.ReplaceAll(fmt.Sprintf("%.80s", strings.Join(c.Args, " ")), "\n", " ")}
}

func has(set map[string]string, name string) bool {
	_, ok := set[name]
	return ok
}

// orInput returns the files that a command is to read: its input if none is
// named.
func orInput(files []string) []string {
	if len(files) == 0 {
		return []string{"-"}
	}
	return files
}

// Mode returns the bits that chmod(1) makes of old; X counts as it does for
// files and directories.
func Mode(spec string, old fs.FileMode, umask fs.FileMode) (fs.FileMode, error) {
	if n, err := strconv.ParseUint(spec, 8, 12); err == nil {
		mode := layers.FileMode(uint32(n))
		if old.IsDir() && len(spec) < 5 { // numbers leave these bits of directories alone
			mode |= old & (fs.ModeSetuid | fs.ModeSetgid)
		}
		return mode, nil
	}
	bits := layers.UnixMode(old)
	for clause := range strings.SplitSeq(spec, ",") {
		var err error
		if bits, err = symbolic(clause, bits, old.IsDir(), uint32(umask)); err != nil {
			return 0, err
		}
	}
	return layers.FileMode(bits), nil
}

// symbolic applies a clause such as "u+rwX,go-w".
func symbolic(clause string, bits uint32, dir bool, umask uint32) (uint32, error) {
	bad := fmt.Errorf("invalid mode: %q", clause)
	i := strings.IndexAny(clause, "+-=")
	if i < 0 {
		return 0, bad
	}
	who, masked := uint32(0), uint32(0)
	for _, w := range clause[:i] {
		switch w {
		case 'u':
			who |= 0o4700
		case 'g':
			who |= 0o2070
		case 'o':
			who |= 0o1007
		case 'a':
			who |= 0o7777
		default:
			return 0, bad
		}
	}
	if i == 0 {
		who, masked = 0o7777, umask
	}
	for rest := clause[i:]; rest != ""; {
		op := rest[0]
		end := strings.IndexAny(rest[1:], "+-=")
		if end < 0 {
			end = len(rest) - 1
		}
		what, ok := permissions(rest[1:1+end], bits, dir)
		if !ok {
			return 0, bad
		}
		what = what & who &^ masked
		switch op {
		case '+':
			bits |= what
		case '-':
			bits &^= what
		case '=':
			bits = bits&^who | what
		}
		rest = rest[1+end:]
	}
	return bits, nil
}

func permissions(letters string, bits uint32, dir bool) (what uint32, ok bool) {
	for _, p := range letters {
		switch p {
		case 'r':
			what |= 0o444
		case 'w':
			what |= 0o222
		case 'x':
			what |= 0o111
		case 'X':
			if dir || bits&0o111 != 0 {
				what |= 0o111
			}
		case 's':
			what |= 0o6000
		case 't':
			what |= 0o1000
		case 'u':
			what |= bits >> 6 & 7 * 0o111
		case 'g':
			what |= bits >> 3 & 7 * 0o111
		case 'o':
			what |= bits & 7 * 0o111
		default:
			return 0, false
		}
	}
	return what, true
}
