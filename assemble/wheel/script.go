// SPDX-License-Identifier: Apache-2.0

package wheel

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"path"
	"strconv"
	"strings"
)

// script places m of .data/scripts.
func (in *installation) script(m *member, name string) error {
	if strings.Contains(name, "/") {
		return bad(m.name, "it stands in a directory of scripts")
	}
	if _, ok := in.scripts[copyOf(name)]; ok {
		return nil
	}
	p := in.file(m, path.Join(in.scheme.Scripts, name))
	p.file.Mode = 0o755
	if err := in.rewrite(&p); err != nil {
		return err
	}
	return in.place(p, fromData)
}

// copyOf returns the entry point that a script of this name is a copy of: old
// setuptools put those into wheels, in forms for Windows too.
func copyOf(name string) string {
	for _, suffix := range []string{".exe", "-script.py", ".pya"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			return stem
		}
	}
	return name
}

// placeholder is how the first line of a script begins that is to name the
// interpreter.
const placeholder = "#!python"

// rewrite replaces the first line of a script, if that is a placeholder. Only
// the start of others, which may be large programs, is read.
func (in *installation) rewrite(p *placed) error {
	body, err := in.open(p.file.member)
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(body, 4096)
	start, err := r.Peek(len(placeholder))
	if err != nil && err != io.EOF {
		return err
	}
	if string(start) != placeholder {
		return nil
	}
	skip, err := skipLine(r)
	if err != nil {
		return err
	}
	head := []byte(shebang(in.scheme.Interpreter) + "\n")
	sum, crc := sha256.New(), crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(sum, crc), io.MultiReader(bytes.NewReader(head), r))
	if err != nil {
		return err
	}
	p.file.head, p.file.skip, p.file.Size, p.file.CRC32 = head, skip, n, crc.Sum32()
	p.row = row{hash: hashField(sum.Sum(nil)), size: strconv.FormatInt(n, 10)}
	return nil
}

// skipLine reads to the end of a line of any length and returns that.
func skipLine(r *bufio.Reader) (n int64, err error) {
	for {
		line, err := r.ReadSlice('\n')
		n += int64(len(line))
		if err == nil || err == io.EOF {
			return n, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// reservedName says whether a script may not be called name, because it would
// take the place of the interpreter. uv refuses the same names.
func reservedName(name string) bool {
	name = strings.ToLower(name)
	minor, ok := strings.CutPrefix(name, "python3.")
	return name == "python" || name == "pythonw" || name == "python3" || ok && isMinor(minor)
}

// script returns the text of a launcher. It is, to the byte, what uv writes.
func (l launcher) script(interpreter string) []byte {
	name, _, _ := strings.Cut(l.object, ".")
	return []byte(shebang(interpreter) + `
# -*- coding: utf-8 -*-
import sys
from ` + l.module + " import " + name + `
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit(` + l.object + `())
`)
}

// maxShebang is how long a #! line may be, its line feed included, for old
// kernels to read it whole.
const maxShebang = 127

// shebang returns the first line of a script that interpreter runs, without
// its line feed. Where a kernel can't read that, it is lines that the shell and
// Python both understand, each in its way.
func shebang(interpreter string) string {
	if len("#!"+interpreter+"\n") <= maxShebang && !strings.Contains(interpreter, " ") {
		return "#!" + interpreter
	}
	quoted := "'" + strings.ReplaceAll(interpreter, "'", `'"'"'`) + "'"
	return "#!/bin/sh\n'''exec' " + quoted + ` "$0" "$@"` + "\n' '''"
}
