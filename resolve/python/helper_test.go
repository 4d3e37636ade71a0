// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"inlay/cache/fetch"
	"inlay/layers"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/python"
	"inlay/resolve/python/reqfile"
)

const (
	sumA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sumB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

const distPackages = "/usr/local/lib/python3.11/dist-packages/"

// dist is an installed distribution, and metadata the files that say so.
func dist(name, version string) parent.Dist {
	return parent.Dist{Name: name, Version: version, Path: distPackages + name + "-" + version + ".dist-info"}
}

func metadata(ds ...parent.Dist) map[string]string {
	files := map[string]string{}
	for _, d := range ds {
		module := strings.TrimPrefix(distPackages, "/") + d.Name + ".py"
		dir := strings.TrimPrefix(d.Path, "/")
		files[module] = ""
		files[dir+"/METADATA"] = "Metadata-Version: 2.1\nName: " + d.Name + "\nVersion: " + d.Version + "\n"
		files[dir+"/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
		files[dir+"/RECORD"] = d.Name + ".py,,\n" + filepath.Base(dir) + "/METADATA,,\n" + filepath.Base(dir) + "/WHEEL,,\n" + filepath.Base(dir) + "/RECORD,,\n"
	}
	return files
}

// view opens a tree of files, all of them kept.
func view(t *testing.T, files map[string]string) func(context.Context) (*layers.View, error) {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (*layers.View, error) {
		ix, err := layers.Scan(ctx, bytes.NewReader(buf.Bytes()), func(layers.Entry) func(io.Reader) ([]byte, error) { return io.ReadAll })
		if err != nil {
			return nil, err
		}
		return layers.Stack(ix)
	}
}

// memory is a Store.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (m *memory) Get(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.values[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (m *memory) Put(name string, b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	m.values[name] = b
	return nil
}

// said is what a uv says in one call.
type said struct {
	exit   int
	stdout string
	stderr string
}

// dryRun is what uv says at the end of a dry run with these changes.
func dryRun(changes ...string) string {
	var counts, list strings.Builder
	for sign, verb := range map[string]string{" - ": "uninstall", " + ": "install"} {
		n := 0
		for _, c := range changes {
			if strings.HasPrefix(c, sign) {
				n++
			}
		}
		if n == 1 {
			fmt.Fprintf(&counts, "Would %s 1 package\n", verb)
		} else if n > 1 {
			fmt.Fprintf(&counts, "Would %s %d packages\n", verb, n)
		}
	}
	for _, c := range changes {
		list.WriteString(c + "\n")
	}
	if list.Len() == 0 {
		return "Would make no changes\n"
	}
	return counts.String() + list.String()
}

// script is a Runner that says what a real uv was recorded to say.
type script struct {
	install, compile said
	then             []said                 // in place of install, the second time and later
	check            []said                 // all is well when there is no more
	look             func(c python.Command) // is shown each command

	mu    sync.Mutex
	calls [][]string
	input []string // the requirements of each call
}

func (s *script) Run(ctx context.Context, c python.Command) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Args[1] == "check" {
		var say said
		if len(s.check) > 0 {
			say, s.check = s.check[0], s.check[1:]
		}
		_, err := io.WriteString(c.Stderr, say.stderr)
		return say.exit, err
	}
	s.calls = append(s.calls, c.Args)
	for _, a := range c.Args {
		if strings.HasSuffix(a, ".txt") {
			b, err := os.ReadFile(a)
			if err != nil {
				return 0, err
			}
			s.input = append(s.input, string(b))
		}
	}
	if s.look != nil {
		s.look(c)
	}
	var say said
	switch strings.Join(c.Args[:2], " ") {
	case "pip install":
		say = s.install
		if len(s.then) > 0 {
			s.install, s.then = s.then[0], s.then[1:]
		}
	case "pip compile":
		say = s.compile
	default:
		return 0, errors.New("no such command of uv: " + strings.Join(c.Args, " "))
	}
	root, _, _ := strings.Cut(python3(c), "/usr/bin/") // of a skeleton
	replace := strings.NewReplacer("{root}", root, "{dir}", c.Dir)
	if _, err := io.WriteString(c.Stdout, replace.Replace(say.stdout)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c.Stderr, replace.Replace(say.stderr)); err != nil {
		return 0, err
	}
	return say.exit, ctx.Err()
}

// python3 is the interpreter that a command of uv names.
func python3(c python.Command) string {
	return c.Args[slices.Index(c.Args, "--python")+1]
}

// resolver returns a Resolver that runs run.
func resolver(t *testing.T, run python.Runner) *python.Resolver {
	t.Helper()
	dir := t.TempDir()
	return &python.Resolver{
		UV:     func(context.Context) (python.UV, error) { return python.UV{Path: "uv", Version: "0.13.9"}, nil },
		Runner: run,
		Env:    []string{"PATH=" + os.Getenv("PATH")},
		Dir:    filepath.Join(dir, "cache"),
		Temp:   filepath.Join(dir, "tmp"),
		Store:  &memory{},
		Files:  &fetch.Store{Dir: filepath.Join(dir, "wheels")},
	}
}

// at are the package indexes with the default one first, "" for uv's own.
func at(t *testing.T, url string, extra ...string) *index.Set {
	t.Helper()
	s, err := index.Gather(t.Context(), index.Options{Default: url, Extra: extra})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func group(t *testing.T, lines ...string) []python.Group {
	t.Helper()
	g, err := reqfile.Reader{}.Text("requirements.txt", strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return []python.Group{g}
}
