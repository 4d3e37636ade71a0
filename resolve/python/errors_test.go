// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/parent"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
	"inlay/resolve/python/reqfile"
)

// Failures as uv was recorded to report them. Old is uv 0.6.15 to 0.11, new is
// uv 0.12 to 0.13.9.
const (
	oldUnsatisfiable = `DEBUG Selecting: requests==2.31.0 [compatible] (requests-2.31.0-py3-none-any.whl)
Using Python 3.11.2 environment at: {root}/usr
WARN Skipping file for requests: requests-2.23.0-py2.7.egg
  × No solution found when resolving dependencies:
  ╰─▶ Because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require
      requests==2.31.0, we can conclude that you require urllib3>=1.21.1,<3.
      And because you require urllib3<1, we can conclude that your
      requirements are unsatisfiable.
`
	newUnsatisfiable = `DEBUG Selecting: requests==2.31.0 [compatible] (requests-2.31.0-py3-none-any.whl)
Using Python 3.11.2 environment at: {root}/usr
WARN Failed to find base Python executable: failed to read symbolic link ` + "`{root}/usr/bin/python3.11`" + `: Invalid argument (os error 22)
error: No solution found when resolving dependencies
  cause: Because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require requests==2.31.0, we can conclude that you require urllib3>=1.21.1,<3.
         And because you require urllib3<1, we can conclude that your requirements are unsatisfiable.
`
	oldABI = `  × No solution found when resolving dependencies:
  ╰─▶ Because tensorflow==1.0.0 has no wheels with a matching Python ABI tag
      (e.g., ` + "`cp311`" + `) and you require tensorflow==1.0, we can conclude that
      your requirements are unsatisfiable.

      hint: You require CPython 3.11 (` + "`cp311`" + `), but we only found wheels
      for ` + "`tensorflow`" + ` (v1.0.0) with the following Python ABI tags: ` + "`cp36m`" + `
`
	newABI = `error: No solution found when resolving dependencies
  cause: Because tensorflow==1.0.0 has no wheels with a matching Python ABI tag (e.g., ` + "`cp311`" + `) and you require tensorflow==1.0, we can conclude that your requirements are unsatisfiable.

hint: You require CPython 3.11 (` + "`cp311`" + `), but we only found wheels for ` + "`tensorflow`" + ` (v1.0.0) with the following Python ABI tags: ` + "`cp36m`" + `
`
	unknownPackage = `error: No solution found when resolving dependencies
  cause: Because no-such-package was not found in the package registry and you require no-such-package, we can conclude that your requirements are unsatisfiable.
`
	unauthorized = `error: No solution found when resolving dependencies
  cause: Because idna was not found in the package registry and you require idna, we can conclude that your requirements are unsatisfiable.

hint: An index URL (http://u:secret@127.0.0.1:1/simple) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)
`
	oldSyntax = "error: Couldn't parse requirement in `requirements.txt` at position 11\n" +
		"  Caused by: Expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `b`\nfoo bar\n    ^\n"
	newSyntax = "error: Couldn't parse requirement in `requirements.txt` at position 11\n" +
		"  cause: Expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `b`\n         foo bar\n             ^\n"
	oldBuild = "  × Failed to build `docopt==0.6.2`\n" + `  ├─▶ The build backend returned an error
  ╰─▶ Call to ` + "`setuptools.build_meta:__legacy__.build_wheel`" + ` failed (exit
      status: 86)

      [stderr]
      no interpreter here: a build is needed

      hint: This usually indicates a problem with the package or the build
      environment.
`
	newBuild = "error: Failed to build `docopt==0.6.2`\n" + `  cause: The build backend returned an error
  cause: Call to ` + "`setuptools.build_meta:__legacy__.get_requires_for_build_wheel`" + ` failed (exit status: 86)

         [stderr]
         no interpreter here: a build is needed

hint: Build failures usually indicate a problem with the package or the build environment
`
	oldRefused = `  Caused by: client error (Connect)
  Caused by: Connection refused (os error 111)
error: Failed to fetch: ` + "`http://127.0.0.1:9/simple/requests/`" + `
  Caused by: Request failed after 3 retries
  Caused by: error sending request for url (http://127.0.0.1:9/simple/requests/)
  Caused by: Connection refused (os error 111)
`
	newRefused = `  Caused by: client error (Connect)
error: Request failed after 3 retries in 10.6s
  cause: Failed to fetch: http://127.0.0.1:9/simple/requests/
  cause: error sending request for url (http://127.0.0.1:9/simple/requests/)
  cause: Connection refused (os error 111)
`
	oldRefusedFile = "  × Failed to download `idna @ https://127.0.0.1:9/idna-3.4-py3-none-any.whl`\n" +
		"  ├─▶ Failed to fetch: `https://127.0.0.1:9/idna-3.4-py3-none-any.whl`\n" +
		"  ├─▶ error sending request for url\n  │   (https://127.0.0.1:9/idna-3.4-py3-none-any.whl)\n" +
		"  ╰─▶ Connection refused (os error 111)\n"
	serverError = "error: Failed to fetch: http://127.0.0.1:1/simple/idna/\n" +
		"  cause: HTTP status server error (500 Internal Server Error) for url (http://127.0.0.1:1/simple/idna/)\n"
	oldOffline = `  × No solution found when resolving dependencies:
  ╰─▶ Because flask was not found in the cache and you require flask, we can
      conclude that your requirements are unsatisfiable.

      hint: Packages were unavailable because the network was disabled. When
      the network is disabled, registry packages may only be read from the
      cache.
`
	newOfflineFile = "error: Failed to download `idna @ http://127.0.0.1:1/idna-3.7-py3-none-any.whl`\n" +
		"  cause: Network connectivity is disabled, but the requested data wasn't found in the cache: http://127.0.0.1:1/idna-3.7-py3-none-any.whl\n"
	badValue    = "error: invalid value 'cu999' for '--torch-backend <TORCH_BACKEND>'\n  [possible values: auto, cpu, xpu]\n\n  tip: a similar value exists: 'cu90'\n"
	badMetadata = "error: Failed to read metadata from: `{root}/usr/lib/x.dist-info/METADATA` for {dir}/requirements.txt\n  cause: No such file or directory (os error 2)\n"
)

func TestFailures(t *testing.T) {
	tests := []struct {
		name    string
		stderr  string
		offline bool
		as      any
		want    string
		hint    string // part of it
	}{
		{
			name: "unsatisfiable", stderr: oldUnsatisfiable, as: new(*python.UnsatisfiableError),
			want: "no packages satisfy requirements.txt: because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require requests==2.31.0, we can conclude that you require urllib3>=1.21.1,<3. And because you require urllib3<1, we can conclude that your requirements are unsatisfiable",
			hint: "change one of the requirements",
		},
		{
			name: "unsatisfiable, new", stderr: newUnsatisfiable, as: new(*python.UnsatisfiableError),
			want: "no packages satisfy requirements.txt: because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require requests==2.31.0, we can conclude that you require urllib3>=1.21.1,<3. And because you require urllib3<1, we can conclude that your requirements are unsatisfiable",
			hint: "change one of the requirements",
		},
		{
			name: "no wheel for this Python", stderr: oldABI, as: new(*python.UnsatisfiableError),
			want: "no packages satisfy requirements.txt: because tensorflow==1.0.0 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require tensorflow==1.0, we can conclude that your requirements are unsatisfiable",
			hint: "You require CPython 3.11 (`cp311`), but we only found wheels for `tensorflow` (v1.0.0) with the following Python ABI tags: `cp36m`",
		},
		{
			name: "no wheel for this Python, new", stderr: newABI, as: new(*python.UnsatisfiableError),
			want: "no packages satisfy requirements.txt: because tensorflow==1.0.0 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require tensorflow==1.0, we can conclude that your requirements are unsatisfiable",
			hint: "You require CPython 3.11 (`cp311`), but we only found wheels for `tensorflow` (v1.0.0) with the following Python ABI tags: `cp36m`",
		},
		{
			name: "unknown package", stderr: unknownPackage, as: new(*python.UnsatisfiableError),
			want: "no packages satisfy requirements.txt: because no-such-package was not found in the package registry and you require no-such-package, we can conclude that your requirements are unsatisfiable",
			hint: "--index-url",
		},
		{
			name: "unauthorized", stderr: unauthorized, as: new(*python.UnsatisfiableError),
			want: "no packages satisfy requirements.txt: because idna was not found in the package registry and you require idna, we can conclude that your requirements are unsatisfiable",
			hint: "give credentials for 127.0.0.1:1",
		},
		{
			name: "syntax", stderr: oldSyntax, as: new(*python.RequirementError),
			want: "requirements.txt:4: \"foo bar\": expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `b`",
			hint: "PEP 508",
		},
		{
			name: "syntax, new", stderr: newSyntax, as: new(*python.RequirementError),
			want: "requirements.txt:4: \"foo bar\": expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `b`",
			hint: "PEP 508",
		},
		{
			name: "a build", stderr: oldBuild, as: new(*python.SdistError),
			want: "docopt==0.6.2, pyspark==3.5.0 have no wheel for Python 3.11 on x86_64 with glibc 2.36, only sources that must be built",
			hint: "`docopt!=0.6.2`",
		},
		{
			name: "a build, new", stderr: newBuild, as: new(*python.SdistError),
			want: "docopt==0.6.2, pyspark==3.5.0 have no wheel for Python 3.11 on x86_64 with glibc 2.36, only sources that must be built",
			hint: "`docopt!=0.6.2`",
		},
		{
			name: "refused", stderr: oldRefused, as: new(*python.IndexError),
			want: "asking the package index: failed to fetch: `http://127.0.0.1:9/simple/requests/`: Request failed after 3 retries: error sending request for url (http://127.0.0.1:9/simple/requests/): Connection refused (os error 111)",
			hint: "--index-url",
		},
		{
			name: "refused, new", stderr: newRefused, as: new(*python.IndexError),
			want: "asking the package index: request failed after 3 retries in 10.6s: Failed to fetch: http://127.0.0.1:9/simple/requests/: error sending request for url (http://127.0.0.1:9/simple/requests/): Connection refused (os error 111)",
			hint: "--index-url",
		},
		{
			name: "refused, a file", stderr: oldRefusedFile, as: new(*python.IndexError),
			want: "asking the package index: failed to download `idna @ https://127.0.0.1:9/idna-3.4-py3-none-any.whl`: Failed to fetch: `https://127.0.0.1:9/idna-3.4-py3-none-any.whl`: error sending request for url (https://127.0.0.1:9/idna-3.4-py3-none-any.whl): Connection refused (os error 111)",
			hint: "--index-url",
		},
		{
			name: "server error", stderr: serverError, as: new(*python.IndexError),
			want: "asking the package index: failed to fetch: http://127.0.0.1:1/simple/idna/: HTTP status server error (500 Internal Server Error) for url (http://127.0.0.1:1/simple/idna/)",
			hint: "--index-url",
		},
		{
			name: "no page of an index", stderr: "error: Received some unexpected JSON from `http://127.0.0.1:1/simple/beta/`\n  cause: EOF while parsing\n", as: new(*python.IndexError),
			want: "asking the package index: received some unexpected JSON from `http://127.0.0.1:1/simple/beta/`: EOF while parsing",
			hint: "--index-url",
		},
		{
			name: "offline", stderr: oldOffline, offline: true, as: new(*python.OfflineError),
			want: "there is no network, and because flask was not found in the cache and you require flask, we can conclude that your requirements are unsatisfiable",
			hint: "--offline",
		},
		{
			name: "offline, a file", stderr: newOfflineFile, offline: true, as: new(*python.OfflineError),
			want: "there is no network, and network connectivity is disabled, but the requested data wasn't found in the cache: http://127.0.0.1:1/idna-3.7-py3-none-any.whl",
			hint: "--offline",
		},
		{
			name: "offline and unsatisfiable all the same", stderr: newUnsatisfiable, offline: true, as: new(*python.UnsatisfiableError),
			want: "no packages satisfy requirements.txt: because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require requests==2.31.0, we can conclude that you require urllib3>=1.21.1,<3. And because you require urllib3<1, we can conclude that your requirements are unsatisfiable",
		},
		{
			name: "anything else", stderr: badMetadata, as: new(*python.InstallerError),
			want: "uv 0.13.9 can't resolve requirements.txt: failed to read metadata from: `/usr/lib/x.dist-info/METADATA` for requirements.txt: No such file or directory (os error 2)",
			hint: "--installer pip",
		},
		{
			name: "an argument's value", stderr: badValue, as: new(*python.InstallerError),
			want: "uv 0.13.9 can't resolve requirements.txt: invalid value 'cu999' for '--torch-backend <TORCH_BACKEND>' [possible values: auto, cpu, xpu] tip: a similar value exists: 'cu90'",
			hint: "one of these values",
		},
		{
			name: "no words", stderr: "DEBUG x\n", as: new(*python.InstallerError),
			want: "uv 0.13.9 can't resolve requirements.txt: it doesn't say why", hint: "--installer pip",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := &script{install: said{exit: 1, stderr: tt.stderr}, look: func(c python.Command) {
				dirs := "/c/sdists-v9/pypi/pyspark/3.5.0/x/src\n/c/sdists-v9/index/0af/docopt/0.6.2/x/src\n/c/builds-v0/x\n"
				if err := os.WriteFile(filepath.Join(c.Dir, "out", "builds"), []byte(dirs), 0o600); err != nil {
					t.Error(err)
				}
			}}
			_, err := resolver(t, run).Resolve(t.Context(), python.Request{
				Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "numpy", "", "idna # x", "foo bar"), Offline: tt.offline,
			})
			if err == nil || !errors.As(err, tt.as) {
				t.Fatalf("Resolve: %v, want a %T", err, tt.as)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("Resolve (-want +got):\n%s", diff)
			}
			var h interface {
				error
				Hint() string
			}
			if errors.As(err, &h) && (h.Hint() == "" || !strings.Contains(h.Hint(), tt.hint)) {
				t.Errorf("the hint is %q, want %q in it", h.Hint(), tt.hint)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestIndexErrorIsTemporary(t *testing.T) {
	var temporary interface{ Temporary() bool }
	if err := error(&python.IndexError{}); !errors.As(err, &temporary) || !temporary.Temporary() {
		t.Errorf("an *IndexError isn't temporary")
	}
}

// What can't be asked is refused before anything is run.
func TestRefusedRequests(t *testing.T) {
	musl := pythontest.Debian()
	musl.Libc = parent.Libc{}
	sparc := pythontest.Debian()
	sparc.Python.Arch = "sparc64"
	two := pythontest.Debian()
	two.Python.Version = "2.7.18"
	tests := []struct {
		name string
		edit func(*python.Request)
		want string
	}{
		{"a password that is not escaped", func(r *python.Request) { r.Groups = group(t, "idna", "-i https://u:se/c@ret@example.com/simple") }, `requirements.txt:2: "-i https://****@example.com/simple": want an http or https URL`},
		{"an index that is no URL", func(r *python.Request) { r.Groups = group(t, "idna", "--extra-index-url example.com/simple") }, `requirements.txt:2: "--extra-index-url example.com/simple": want an http or https URL`},
		{"a page of links with a password", func(r *python.Request) { r.Groups = group(t, "idna", "-f https://ann:s3cret@example.com/") }, `requirements.txt:2: "-f https://****@example.com/": a page of links can't have credentials`},
		{"a page of links that is none", func(r *python.Request) { r.Groups = group(t, "idna", "-f ftp://example.com/") }, `requirements.txt:2: "-f ftp://example.com/": this is neither a directory nor an http or https URL`},
		{"a directory of wheels that isn't there", func(r *python.Request) {
			r.Arguments.Options = []reqfile.Option{{Source: "args", Shown: "--find-links=none", Name: "find-links", Value: "/none"}}
		}, `args: "--find-links=none": there is no directory /none`},
		{"an option that the installer lacks", func(r *python.Request) { r.Groups = group(t, "idna", "--prefer-binary") }, "requirements.txt:2: \"--prefer-binary\": uv has no `--prefer-binary`"},
		{"a host without certificates", func(r *python.Request) { r.Groups = group(t, "idna", "--trusted-host example.com") }, `requirements.txt:2: "--trusted-host example.com": not supported: a wheel is fetched without the installer`},
		{"no libc", func(r *python.Request) { r.Inventory = musl }, "neither glibc nor musl"},
		{"a rare machine", func(r *python.Request) { r.Inventory = sparc }, `no wheels are made for its architecture "sparc64"`},
		{"an old Python", func(r *python.Request) { r.Inventory = two }, `its version is "2.7.18", and only Python 3 is supported`},
		{"no Python", func(r *python.Request) { r.Inventory = &parent.Inventory{PythonProblem: "no python on PATH"} }, "no python on PATH"},
	}
	for _, tt := range tests {
		req := python.Request{Inventory: pythontest.Debian(), Groups: group(t, "numpy")}
		tt.edit(&req)
		_, err := resolver(t, nil).Resolve(t.Context(), req)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Resolve: %v, want %q", tt.name, err, tt.want)
		}
	}
}
