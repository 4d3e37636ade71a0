// SPDX-License-Identifier: Apache-2.0

// Package pythontest has what tests of resolutions begin with: a parent, wheels,
// and the uv to ask.
package pythontest

import (
	"archive/zip"
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"inlay/cache/fetch"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
)

// UV returns the uv that INLAY_TEST_UV names or the PATH has. Without one the test
// is skipped.
func UV(t *testing.T) python.UV {
	t.Helper()
	uv, err := python.FindUV(t.Context(), python.FindOptions{
		LookPath: func(name string) (string, error) {
			if named := os.Getenv("INLAY_TEST_UV"); named != "" && name == "uv" { //nolint:forbidigo // of a test
				return named, nil
			}
			return exec.LookPath(name)
		},
		Runner: python.Exec{},
		Env:    []string{"PATH=" + os.Getenv("PATH")}, //nolint:forbidigo // of a test
		Dir:    t.TempDir(),
		Files:  &fetch.Store{Offline: true},
	})
	if err != nil {
		t.Skipf("there is no uv to test with: install one, or name it in INLAY_TEST_UV (%v)", err)
	}
	return uv
}

// Debian is a parent with Debian's own Python 3.11, where these are installed.
func Debian(dists ...parent.Dist) *parent.Inventory {
	return &parent.Inventory{
		Name: "debian:12", Digest: "sha256:d1",
		Libc: parent.Libc{Family: "glibc", Major: 2, Minor: 36},
		Python: &parent.Python{
			Interpreter: "/usr/bin/python3.11", Version: "3.11.2", Arch: "x86_64",
			Prefix: "/usr", BasePrefix: "/usr", Stdlib: "/usr/lib/python3.11",
			Scheme: plan.Scheme{
				Purelib: "/usr/local/lib/python3.11/dist-packages", Platlib: "/usr/local/lib/python3.11/dist-packages",
				Scripts: "/usr/local/bin", Data: "/usr/local", Headers: "/usr/include/python3.11",
				Interpreter: "/usr/bin/python3.11", Version: "3.11",
			},
			Kind: "debian", Dists: dists,
		},
	}
}

// Wheel makes a wheel whose name says what it is, with these requirements.
func Wheel(name string, requires ...string) (string, []byte) {
	parts := strings.Split(strings.TrimSuffix(name, ".whl"), "-")
	info := parts[0] + "-" + parts[1] + ".dist-info/"
	var metadata strings.Builder
	fmt.Fprintf(&metadata, "Metadata-Version: 2.1\nName: %s\nVersion: %s\n", parts[0], parts[1])
	for _, r := range requires {
		fmt.Fprintf(&metadata, "Requires-Dist: %s\n", r)
	}
	members := map[string]string{
		parts[0] + ".py":  "",
		info + "METADATA": metadata.String(),
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: " + strings.Join(parts[len(parts)-3:], "-") + "\n",
		info + "RECORD":   parts[0] + ".py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n",
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, m := range slices.Sorted(maps.Keys(members)) {
		w, err := z.Create(m)
		if err != nil {
			panic(err) // a buffer takes everything
		}
		_, _ = w.Write([]byte(members[m]))
	}
	_ = z.Close()
	return name, buf.Bytes()
}
