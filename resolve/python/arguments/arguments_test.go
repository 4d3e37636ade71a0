// SPDX-License-Identifier: Apache-2.0

package arguments_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/python/arguments"
)

func null(name string) arguments.Given { return arguments.Given{Name: name, Null: true} }

func with(name string, values ...string) arguments.Given {
	return arguments.Given{Name: name, Values: values}
}

// Each argument does what the documentation of its installer says.
func TestRead(t *testing.T) {
	tests := []struct {
		installer string
		given     arguments.Given
		want      arguments.Set
	}{
		{"uv", null("no-deps"), arguments.Set{Flags: []string{"--no-deps"}}},
		{"uv", with("no-deps", "true"), arguments.Set{Flags: []string{"--no-deps"}}},
		{"uv", with("no-deps", "False"), arguments.Set{}},
		{"uv", with("resolution", "false"), arguments.Set{}},
		{"pip", with("resolution", "false"), arguments.Set{}},
		{"pip", with("target", "false"), arguments.Set{}},
		{"pip", null("no-deps"), arguments.Set{Flags: []string{"--no-deps"}}},
		{"uv", null("pre"), arguments.Set{Flags: []string{"--prerelease=allow"}}},
		{"pip", null("pre"), arguments.Set{Flags: []string{"--pre"}}},
		{"uv", with("resolution", "lowest"), arguments.Set{Flags: []string{"--resolution=lowest"}}},
		{"uv", with("upgrade-package", "a", "b"), arguments.Set{Flags: []string{"--upgrade-package=a", "--upgrade-package=b"}}},
		{"uv", null("force-reinstall"), arguments.Set{Flags: []string{"--reinstall"}}},
		{"pip", null("force-reinstall"), arguments.Set{Flags: []string{"--force-reinstall"}}},
		{"uv", with("index-strategy", "unsafe-best-match"), arguments.Set{Both: []string{"--index-strategy=unsafe-best-match"}}},
		{"uv", with("exclude-newer", "2026-01-31"), arguments.Set{Both: []string{"--exclude-newer=2026-01-31"}}},
		{"pip", with("uploaded-prior-to", "2026-01-31"), arguments.Set{Flags: []string{"--uploaded-prior-to=2026-01-31"}}},
		{"uv", with("timeout", "5"), arguments.Set{Env: []string{"UV_HTTP_TIMEOUT=5"}}},
		{"pip", with("default-timeout", "5"), arguments.Set{Env: []string{"PIP_DEFAULT_TIMEOUT=5"}}},
		{"uv", with("constraint", "a.txt", "b.txt"), arguments.Set{Constraints: []string{"a.txt", "b.txt"}}},
		{"pip", with("c", "a.txt"), arguments.Set{Constraints: []string{"a.txt"}}},
		{"uv", with("override", "a.txt"), arguments.Set{Overrides: []string{"a.txt"}}},
		{"uv", with("default-index", "https://a/simple"), arguments.Set{Indexes: []arguments.Index{{Argument: "default-index", URL: "https://a/simple", Default: true}}}},
		{"pip", with("extra-index-url", "https://a/simple"), arguments.Set{Indexes: []arguments.Index{{Argument: "extra-index-url", URL: "https://a/simple"}}}},
		{"uv", with("torch-backend", "cu128"), arguments.Set{Torch: "cu128"}},
		{"uv", null("torch-backend"), arguments.Set{Torch: "none"}},
		{"pip", with("torch-backend", "none"), arguments.Set{Torch: "none"}},
		{"uv", with("C", "a=b"), arguments.Set{Build: []string{"--config-setting=a=b"}}},
		{"pip", with("config-settings", "a=b", "c=d"), arguments.Set{Build: []string{"--config-setting=a=b", "--config-setting=c=d"}}},
		{"pip", null("no-build-isolation"), arguments.Set{Build: []string{"--no-build-isolation"}}},
		{"pip", with("build-constraint", "a.txt"), arguments.Set{BuildConstraints: []string{"a.txt"}}},
		{"uv", null("system"), arguments.Set{Notes: []string{"`system` has no effect: wheels go where the parent's Python has its packages"}}},
		{"pip", null("no-cache-dir"), arguments.Set{Notes: []string{"`no-cache-dir` has no effect: the cache is never in a layer"}}},
		{"pip", with("find-links", "wheels", "https://example.com/w"), arguments.Set{Links: []string{"wheels", "https://example.com/w"}}},
		{"uv", null("no-index"), arguments.Set{NoIndex: true}},
		{"uv", with("link-mode", "copy"), arguments.Set{Notes: []string{"`link-mode` has no effect: wheels become layers without being installed"}}},
	}
	for _, tt := range tests {
		got, err := arguments.Read(tt.installer, []arguments.Given{tt.given})
		if err != nil {
			t.Errorf("Read(%s, %+v): %v", tt.installer, tt.given, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, got); diff != "" {
			t.Errorf("Read(%s, %+v) (-want +got):\n%s", tt.installer, tt.given, diff)
		}
	}
}

// What can't be honoured is an error that names it and says what to do.
func TestReadRefuses(t *testing.T) {
	tests := []struct {
		installer string
		given     arguments.Given
		want, fix string
	}{
		{"uv", with("target", "x"), "--target: not supported: wheels go where the parent's Python has its packages", "remove `target`"},
		{"uv", null("compile-bytecode"), "--compile-bytecode: not supported: bytecode has layers of its own", "write `bytecode: on`"},
		{"uv", with("cert", "ca.pem"), "--cert: not supported: a wheel is fetched without the installer, whose certificates don't count then", "name the certificates in the variable SSL_CERT_FILE"},
		{"pip", null("find-links"), "--find-links: a value is missing", "write, for example, `find-links: wheels`"},
		{"uv", null("no-dep"), "--no-dep: uv has no such argument, or none that is known here", "did you mean `no-deps`?"},
		{"uv", with("no-dep", "false"), "--no-dep: uv has no such argument, or none that is known here", "did you mean `no-deps`?"},
		{"uv", null("qwxyz"), "--qwxyz: uv has no such argument, or none that is known here", "remove `qwxyz`"},
		{"pip", with("prerelease", "allow"), "--prerelease: it is an argument of uv, and the installer is pip", "write `pre`, as pip has it"},
		{"pip", with("exclude-newer", "2026-01-31"), "--exclude-newer: it is an argument of uv, and the installer is pip", "write `uploaded-prior-to`, as pip has it"},
		{"pip", with("index-strategy", "first-index"), "--index-strategy: it is an argument of uv, and the installer is pip", "remove `index-strategy`, or write `python_package_installer: uv`"},
		{"uv", null("prefer-binary"), "--prefer-binary: it is an argument of pip, and the installer is uv", "remove `prefer-binary`, or write `python_package_installer: pip`"},
		{"uv", with("no-deps", "maybe"), "--no-deps: a flag has no value", "write, for example, `no-deps: null`"},
		{"uv", with("resolution", "low"), `--resolution: want highest, lowest, lowest-direct, got "low"`, "write, for example, `resolution: lowest-direct`"},
		{"uv", with("resolution", "lowest", "highest"), "--resolution: want one value, got 2", "write, for example, `resolution: lowest-direct`"},
		{"uv", null("constraint"), "--constraint: a value is missing", "write, for example, `constraint: constraints.txt`"},
		{"uv", with("torch-backend", "cuda"), `--torch-backend: "cuda" is none of its values`, "write, for example, `torch-backend: cpu`"},
		{"pip", with("torch-backend", "cpu"), `--torch-backend: want auto, none, got "cpu"`, "write, for example, `torch-backend: none`"},
		{"uv", with("timeout", "5s"), `--timeout: "5s" is none of its values`, "write, for example, `timeout: 60`"},
	}
	for _, tt := range tests {
		_, err := arguments.Read(tt.installer, []arguments.Given{null("no-cache-dir"), tt.given})
		var bad *arguments.Error
		if !errors.As(err, &bad) || err.Error() != tt.want || bad.Hint() != tt.fix {
			t.Errorf("Read(%s, %+v): %v, want %s (hint: %s), got %+v", tt.installer, tt.given, err, tt.want, tt.fix, bad)
		}
	}
}

// No name stands for two things, and every row says what becomes of it.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	rows := arguments.Rows()
	if len(rows) == 0 {
		t.Fatal("the table is empty")
	}
	for _, r := range rows {
		if r.Names == "" || r.Effect == "" || strings.HasSuffix(r.Effect, ": ") || r.Effect == "``" {
			t.Errorf("the row %+v is not complete", r)
		}
		for of := range strings.SplitSeq(r.Installers, ", ") {
			for name := range strings.SplitSeq(r.Names, ", ") {
				if key := of + " " + name; seen[key] {
					t.Errorf("%s stands in the table twice", key)
				} else {
					seen[key] = true
				}
			}
		}
	}
}
