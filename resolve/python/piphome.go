// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"inlay/layers/pattern"
	"inlay/resolve/index"
)

// askHome prints where a Python and its pip are, which libraries it has loaded,
// as its loader was told of them, and which index is pip's own.
const askHome = `import json, os, sys
if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])
import pip
from pip._internal.models.index import PyPI

def libraries():
    for name in ("bz2", "hashlib", "lzma", "pyexpat", "ssl", "zlib"):
        try:
            __import__(name)
        except ImportError:
            pass
    import ctypes
    class Info(ctypes.Structure):
        _fields_ = [("addr", ctypes.c_void_p), ("name", ctypes.c_char_p)]
    found = []
    add = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)(
        lambda info, size, data: found.append(os.fsdecode(info[0].name or b"")) or 0)
    ctypes.CDLL(None).dl_iterate_phdr(add, None)
    return found

try:
    libs = libraries()
except Exception: # this Python has no ctypes, or may not make callbacks
    with open("/proc/self/maps") as maps:
        libs = sorted({line[line.index("/"):].rstrip("\n") for line in maps if "/" in line})
stdlib = os.path.dirname(os.__file__)
print("inlay " + json.dumps({
    "executable": sys.executable, "index": PyPI.simple_url,
    "libs": libs, "path": os.environ.get("LD_LIBRARY_PATH", ""),
    "dirs": [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, os.path.dirname(os.path.dirname(pip.__file__)), stdlib] +
        [p for p in sys.path if os.path.basename(p) == "lib-dynload" and os.path.isdir(p)],
}))`

// homeLine is what it prints: a script that starts the Python, or what that runs
// when it starts, may print more.
var homeLine = pattern.New(`(?m)^inlay (\{.*\})$`)

// A pipHome is what it says.
type pipHome struct {
	Executable, Index, Path string
	Dirs, Libs              []string
}

// settle finds out what pip needs to run in another directory, and isolated: what
// the Python's program is, which may have been found as a script that starts it
// by where it was called, and where its libraries are.
func (s *pipSession) settle(ctx context.Context, run Runner) error {
	var out bytes.Buffer
	said := &logWriter{}
	exit, err := run.Run(ctx, Command{
		Path: s.pip.Python, Args: []string{"-I", "-B", "-c", askHome, s.pip.Wheel}, Env: s.common, Stdout: &out, Stderr: said,
	})
	if err != nil {
		return err
	}
	var home pipHome
	if err := json.Unmarshal([]byte(first(homeLine(), out.String())), &home); exit != 0 || err != nil || home.Executable == "" {
		return &BrokenPythonError{Path: s.pip.Python, Says: lastLine(said.String())}
	}
	s.pip.Python = home.Executable
	if home.Path != "" {
		s.common = pick(s.common, anyEnv(), "LD_LIBRARY_PATH="+home.Path)
	}
	s.needs.Read = append(append(s.needs.Read, home.Executable), home.Dirs...)
	for _, lib := range home.Libs {
		if _, err := os.Stat(lib); err == nil && filepath.IsAbs(lib) { // the kernel's own is no file
			s.needs.Read = append(s.needs.Read, lib)
		}
	}
	if s.pip.Wheel != "" {
		s.needs.Read = append(s.needs.Read, s.pip.Wheel)
	}
	s.own = func(_ context.Context, set *index.Set) (*index.Set, error) {
		if set.Default() != "" {
			return set, nil
		}
		return set.With("pip "+s.pip.Version, index.Index{URL: home.Index, Default: true})
	}
	return nil
}

// A BrokenPythonError reports a Python that starts, and can't run pip.
type BrokenPythonError struct {
	Path string
	Says string // its last words
}

func (e *BrokenPythonError) Error() string {
	return fmt.Sprintf("%s doesn't tell where it and its pip are: %s", e.Path, cmp.Or(e.Says, "it says nothing"))
}

// Hint says how to get along.
func (e *BrokenPythonError) Hint() string {
	return "repair it, put another Python first on the PATH, or use uv with `--installer uv`"
}
