// SPDX-License-Identifier: Apache-2.0

package step_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/assemble/step"
	"inlay/resolve/plan"
)

// compiler is the Python of an image that holds nothing else: its bytecode is the
// name of the file and the source. Sources say what goes wrong.
func compiler() int {
	number := func() (n int64) {
		if err := binary.Read(os.Stdin, binary.BigEndian, &n); err != nil {
			os.Exit(9)
		}
		return n
	}
	take := func() string {
		b := make([]byte, number())
		if _, err := io.ReadFull(os.Stdin, b); err != nil {
			os.Exit(9)
		}
		return string(b)
	}
	give := func(text string) {
		_ = binary.Write(os.Stdout, binary.BigEndian, int64(len(text)))
		_, _ = os.Stdout.WriteString(text)
	}
	tag := os.Getenv("TAG")
	give(tag)
	for n := number(); n > 0; n = number() {
		for range n {
			name, source := take(), take()
			switch {
			case source == "die":
				_, _ = os.Stderr.WriteString("it died\n")
				return 4
			case source == "stop":
				return 0
			case strings.HasPrefix(source, "bad"):
				give("")
			default:
				give(name + ":" + source + os.Getenv("PYTHONHASHSEED"))
			}
		}
	}
	return 0
}

// bytecodeStep is the step that compiles wheels, and what that takes.
func bytecodeStep(t *testing.T, tools *step.Tools, tag string, files ...string) plan.Step {
	t.Helper()
	dir := t.TempDir()
	self, err := os.ReadFile(must(os.Executable()))
	if err != nil {
		t.Fatal(err)
	}
	tools.Below = []v1.Layer{tools.Below[0], tarLayer(t, []tar.Header{{Name: "usr/bin/", Mode: 0o755}, {Name: "usr/bin/python3", Mode: 0o755}}, []string{"", string(self)})}
	tools.Wheel = func(_ context.Context, w plan.Wheel) (*os.File, error) { return os.Open(filepath.Join(dir, w.File)) }
	var base plan.Base
	base.Links = []plan.Link{{Path: "/usr/lib", Target: "/opt/lib"}}
	return plan.Step{Name: "bytecode of a 1.0", Bytecode: &plan.Bytecode{
		Python: plan.Python{Base: base, Scheme: scheme, Wheels: []plan.Wheel{
			makeWheel(t, dir, "a", files...), makeWheel(t, dir, "b", "b.py=b", "shared.py=two"),
		}},
		Compiler: "3.11.2", Env: []string{"TAG=" + tag},
	}}
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

// TestBytecode packs what the Python of the image makes of the modules, and of
// nothing else: the same bytes whichever rung it ran on.
func TestBytecode(t *testing.T) {
	want := []string{
		"dir 0755 0:0 opt/", "dir 0755 0:0 opt/lib/", "dir 0755 0:0 opt/lib/__pycache__/", "dir 0755 0:0 opt/lib/p/", "dir 0755 0:0 opt/lib/p/__pycache__/",
		`0644 0:0 opt/lib/__pycache__/a.cpython-311.pyc "/usr/lib/a.py:a0"`,
		`0644 0:0 opt/lib/p/__pycache__/q.cpython-311.pyc "/usr/lib/p/q.py:q0"`,
		`0644 0:0 opt/lib/__pycache__/b.cpython-311.pyc "/usr/lib/b.py:b0"`,
		`0644 0:0 opt/lib/__pycache__/shared.cpython-311.pyc "/usr/lib/shared.py:two0"`,
	}
	var first []byte
	for _, rung := range rungs(t) {
		t.Run(rung.Name, func(t *testing.T) {
			tools := box(t, rung)
			s := bytecodeStep(t, &tools, "cpython-311",
				"a.py=a", "shared.py=one", "p/q.py=q", "p/worse.py=bad syntax", "p/data.txt=x", "a-1.0.data/scripts/tool.py=s", "a-1.0.data/data/share/x.py=d")
			var b bytes.Buffer
			if _, err := step.Write(t.Context(), &b, s, tools); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b.Bytes()
			}
			if !bytes.Equal(first, b.Bytes()) {
				t.Error("the layer has other bytes than that of the rung before")
			}
			if diff := cmp.Diff(want, entries(t, b.Bytes())); diff != "" {
				t.Errorf("the layer (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBytecodeFails takes nothing of a Python that fails, or that answers
// something else.
func TestBytecodeFails(t *testing.T) {
	rung := rungs(t)[0]
	for _, tt := range []struct{ name, tag, source, want string }{
		{"it dies", "cpython-311", "die", "bytecode `/usr/bin/python3` ended with status 4\n  it died"},
		{"it stops", "cpython-311", "stop", "EOF"},
		{"it has no kind", "../x", "a", `"../x" is no kind of bytecode`},
		{"it says too much", strings.Repeat("x", 100), "a", "it names no kind of bytecode"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tools := box(t, rung)
			s := bytecodeStep(t, &tools, tt.tag, "a.py="+tt.source)
			_, err := step.Write(t.Context(), io.Discard, s, tools)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it gives %v, want %s", err, tt.want)
			}
		})
	}
	t.Run("foreign", func(t *testing.T) {
		tools := box(t, rung)
		s := bytecodeStep(t, &tools, "", "a.py=a")
		s.Bytecode.Scheme.Interpreter = "/usr/bin/none"
		inside, err := tools.Sandbox(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		inside.Foreign = "linux/arm64"
		tools.Sandbox = func(context.Context) (*step.Sandbox, error) { return inside, nil }
		_, err = step.Write(t.Context(), io.Discard, s, tools)
		var foreign *step.ForeignError
		if !errors.As(err, &foreign) || !strings.Contains(foreign.Hint(), "leave out `bytecode`") {
			t.Errorf("a Python of another platform gives %v", err)
		}
	})
}

// TestCompile holds that the program which compiles does what py_compile does,
// for each list of modules as if there were no other.
func TestCompile(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	dir := t.TempDir()
	sources := map[string]string{
		"a.py": "import os\ndef f(x=frozenset({'b', 'c', 'd', 'e'})): return os.path, x, f'{x!r}', 1.5, -1\nclass C: 'doc'\n",
		"b.py": "# -*- coding: latin-1 -*-\nx = '\xe9\xe8'\nasync def g(): await x\n",
		"c.py": "def broken(:\n", "d.py": "",
	}
	for name, text := range sources {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const check = `
import marshal, os, py_compile, struct, subprocess, sys
program, here = sys.argv[1:]
names = sorted(n for n in os.listdir(here) if n.endswith(".py"))
text = lambda b: struct.pack(">q", len(b)) + b
def run(lists):
    sent = b"".join(struct.pack(">q", len(l)) + b"".join(text(("/x/" + n).encode()) + text(open(os.path.join(here, n), "rb").read()) for n in l) for l in lists)
    out = subprocess.run([sys.executable, "-s", "-S", "-B", "-c", program], input=sent + struct.pack(">q", 0), stdout=subprocess.PIPE, check=True, env={"PYTHONHASHSEED": "0"}).stdout
    got = []
    while out:
        n, = struct.unpack(">q", out[:8])
        got.append(out[8:8 + n])
        out = out[8 + n:]
    assert got[0].decode() == sys.implementation.cache_tag, got[0]
    return dict(zip([n for l in lists for n in l], got[1:]))
together, alone = run([names]), run([[n] for n in names])
for n in names:
    try:
        py_compile.compile(os.path.join(here, n), os.path.join(here, "out"), "/x/" + n, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        want = open(os.path.join(here, "out"), "rb").read()
    except py_compile.PyCompileError:
        want = b""
    assert together[n][:16] == want[:16] and bool(want) == bool(together[n]) == bool(alone[n]), (n, want, together[n])
    if want:
        assert marshal.loads(together[n][16:]) == marshal.loads(want[16:]) == marshal.loads(alone[n][16:]), n
a, b = run([["a.py"], ["b.py"]]), run([["b.py"], ["a.py"]])
assert a == b == {n: alone[n] for n in a}, "the bytes depend on what was compiled before"
print(len(names))
`
	program, err := os.ReadFile("compile.py")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), python, "-c", check, string(program), dir).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "4" {
		t.Errorf("%v: %s", err, out)
	}
}
