// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// lockOf is a pylock.toml of the release 1.0 of six with these files.
func lockOf(files ...string) string {
	var b strings.Builder
	b.WriteString("lock-version = \"1.0\"\n[[packages]]\nname = \"six\"\nversion = \"1.0\"\n")
	for _, f := range files {
		if !strings.HasSuffix(f, ".whl") {
			fmt.Fprintf(&b, "sdist = { url = \"https://example.com/%s\", hashes = { sha256 = \"%s\" } }\n", f, sumA)
		}
	}
	b.WriteString("wheels = [\n")
	for _, f := range files {
		if strings.HasSuffix(f, ".whl") {
			fmt.Fprintf(&b, "  { url = \"https://example.com/%s\", hashes = { sha256 = \"%s\" } },\n", f, sumA)
		}
	}
	return b.String() + "]\n"
}

// Where uv doesn't say which file it chose, the order of the wheel
// specifications decides, as it does for uv.
func TestRanking(t *testing.T) {
	glibc, musl, threaded, arm := pythontest.Debian(), pythontest.Debian(), pythontest.Debian(), pythontest.Debian()
	musl.Libc = parent.Libc{Family: "musl", Major: 1, Minor: 2}
	threaded.Python.Version, threaded.Python.FreeThreaded = "3.14.0", true
	arm.Python.Arch = "aarch64"
	debug := pythontest.Debian()
	debug.Python.Debug = true
	tests := []struct {
		name  string
		inv   *parent.Inventory
		files []string
		want  string // "" means no wheel fits
	}{
		{"compiled before pure", glibc, []string{"six-1.0-py3-none-any.whl", "six-1.0-cp311-cp311-linux_x86_64.whl"}, "six-1.0-cp311-cp311-linux_x86_64.whl"},
		{"the newest glibc", glibc, []string{
			"six-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "six-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
			"six-1.0-cp311-cp311-manylinux_2_39_x86_64.whl", "six-1.0-cp311-cp311-linux_x86_64.whl",
		}, "six-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"},
		{"the old names of manylinux", glibc, []string{"six-1.0-cp311-cp311-manylinux1_x86_64.whl", "six-1.0-cp311-cp311-manylinux2010_x86_64.whl"}, "six-1.0-cp311-cp311-manylinux2010_x86_64.whl"},
		{"its own interface before the stable one", glibc, []string{"six-1.0-cp37-abi3-manylinux_2_28_x86_64.whl", "six-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"}, "six-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"},
		{"the newest stable interface", glibc, []string{"six-1.0-cp37-abi3-manylinux_2_28_x86_64.whl", "six-1.0-cp39-abi3-manylinux_2_17_x86_64.whl", "six-1.0-cp312-abi3-manylinux_2_17_x86_64.whl"}, "six-1.0-cp39-abi3-manylinux_2_17_x86_64.whl"},
		{"a platform before any", glibc, []string{"six-1.0-py3-none-any.whl", "six-1.0-py3-none-manylinux_2_17_x86_64.whl"}, "six-1.0-py3-none-manylinux_2_17_x86_64.whl"},
		{"several tags in one name", glibc, []string{"six-1.0-py2.py3-none-any.whl"}, "six-1.0-py2.py3-none-any.whl"},
		{"the greater build", glibc, []string{"six-1.0-2-py3-none-any.whl", "six-1.0-10-py3-none-any.whl", "six-1.0-py3-none-any.whl", "six-1.0-9z-py3-none-any.whl"}, "six-1.0-10-py3-none-any.whl"},
		{"musl", musl, []string{"six-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "six-1.0-cp311-cp311-musllinux_1_1_x86_64.whl", "six-1.0-cp311-cp311-musllinux_1_3_x86_64.whl"}, "six-1.0-cp311-cp311-musllinux_1_1_x86_64.whl"},
		{"another machine", arm, []string{"six-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "six-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"}, "six-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"},
		{"no old glibc there", arm, []string{"six-1.0-cp311-cp311-manylinux_2_5_aarch64.whl"}, ""},
		{"free-threaded", threaded, []string{"six-1.0-cp314-cp314-manylinux_2_17_x86_64.whl", "six-1.0-cp314-abi3-manylinux_2_17_x86_64.whl", "six-1.0-cp314-cp314t-manylinux_2_17_x86_64.whl"}, "six-1.0-cp314-cp314t-manylinux_2_17_x86_64.whl"},
		{"debug", debug, []string{"six-1.0-cp311-cp311-linux_x86_64.whl", "six-1.0-cp311-cp311d-linux_x86_64.whl"}, "six-1.0-cp311-cp311d-linux_x86_64.whl"},
		{"none fits", glibc, []string{"six-1.0-cp310-cp310-linux_x86_64.whl", "six-1.0-cp311-cp311-win_amd64.whl", "six-1.0-py2-none-any.whl"}, ""},
		{"not a name of a wheel", glibc, []string{"six-1.0.whl", "six-1.0-py3-none-any-x-y-z.whl"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := &script{install: said{stderr: dryRun(" + six==1.0")}, compile: said{stdout: lockOf(append(tt.files, "six-1.0.tar.gz")...)}}
			got, err := resolver(t, run).Resolve(t.Context(), python.Request{Inventory: tt.inv, View: view(t, nil), Groups: group(t, "six")})
			if tt.want == "" {
				if sdist := new(*python.SdistError); !errors.As(err, sdist) {
					t.Fatalf("Resolve: %+v, %v, want a *SdistError", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Wheels[0].File != tt.want {
				t.Errorf("of %v Resolve takes %s, want %s", tt.files, got.Wheels[0].File, tt.want)
			}
		})
	}
}

// Wheels are in the order of their names, whatever the order that uv says them in.
func TestOrder(t *testing.T) {
	run := &script{
		install: said{stderr: dryRun(" + zope-interface==7.0", " + Numpy==1.0")},
		compile: said{stdout: "[[packages]]\nname = \"zope.interface\"\nversion = \"7.0\"\nwheels = [{ url = \"https://example.com/zope.interface-7.0%2Blocal-py3-none-any.whl\", hashes = { sha256 = \"" + sumA + "\" } }]\n" +
			"[[packages]]\nname = \"numpy\"\nversion = \"1.0\"\nwheels = [{ url = \"https://example.com/numpy-1.0-py3-none-any.whl\", size = 5, hashes = { sha256 = \"" + sumB + "\" } }]\n"},
	}
	got, err := resolver(t, run).Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "zope.interface", "numpy")})
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Wheel{
		{Name: "numpy", Version: "1.0", File: "numpy-1.0-py3-none-any.whl", URL: "https://example.com/numpy-1.0-py3-none-any.whl", Digest: "sha256:" + sumB, Size: 5},
		{Name: "zope-interface", Version: "7.0", File: "zope.interface-7.0+local-py3-none-any.whl", URL: "https://example.com/zope.interface-7.0%2Blocal-py3-none-any.whl", Digest: "sha256:" + sumA},
	}
	if diff := cmp.Diff(want, got.Wheels); diff != "" {
		t.Errorf("Wheels (-want +got):\n%s", diff)
	}
}

// A requirement that names a URL is asked for by its own line, because uv masks
// what it prints; uv says it in two ways, before and after the download.
func TestDirectURL(t *testing.T) {
	const url = "https://us%40er:s3cret@example.com/six-1.0-py3-none-any.whl?sig=hush#sha256=" + sumA
	const line = "six[x] @ " + url
	for _, says := range []string{
		" + six @ https://example.com/six-1.0-py3-none-any.whl",
		" + six==1.0 (from https://example.com/six-1.0-py3-none-any.whl)",
	} {
		run := &script{
			install: said{stderr: dryRun(says)},
			compile: said{stdout: "[[packages]]\nname = \"six\"\nversion = \"1.0\"\narchive = { url = \"" + url + "\", hashes = { sha256 = \"" + sumA + "\" } }\n"},
		}
		r, ix := resolver(t, run), at(t, "")
		got, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, line), Index: ix})
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range r.Store.(*memory).values {
			if text := name + string(b); strings.Contains(text, "s3cret") || strings.Contains(text, "hush") {
				t.Errorf("after %q a secret is stored: %s", says, text)
			}
		}
		want := []plan.Wheel{{
			Name: "six", Version: "1.0", File: "six-1.0-py3-none-any.whl",
			URL: "https://example.com/six-1.0-py3-none-any.whl", Digest: "sha256:" + sumA,
		}}
		if diff := cmp.Diff(want, got.Wheels); diff != "" {
			t.Errorf("after %q: Wheels (-want +got):\n%s", says, diff)
		}
		if run.input[1] != line+"\n" {
			t.Errorf("after %q uv was asked for %q, want %q", says, run.input[1], line)
		}
	}
}

func TestLockRefuses(t *testing.T) {
	wheel := func(url, hashes string) string {
		return fmt.Sprintf("[[packages]]\nname = \"six\"\nversion = \"1.0\"\nwheels = [{ url = %q, hashes = {%s} }]\n", url, hashes)
	}
	const good, hash = "https://example.com/six-1.0-py3-none-any.whl", `sha256 = "` + sumA + `"`
	tests := []struct {
		name, line, chose, lock, want string
	}{
		{"no sha256", "six", "", wheel(good, `md5 = "00"`), "the package index gives no sha256 of six-1.0-py3-none-any.whl, so a download of it can't be checked"},
		{"a short sha256", "six", "", wheel(good, `sha256 = "00"`), "the package index gives no sha256 of six-1.0-py3-none-any.whl"},
		{"another hash than the requirement's", "six --hash=sha256:" + sumB, "", wheel(good, hash), "six-1.0-py3-none-any.whl of six==1.0 has sha256:" + sumA + ", its requirement allows only sha256:" + sumB},
		{"not the release that was chosen", "six", "", strings.Replace(wheel(good, hash), "1.0", "1.1", 1), "uv chose six==1.0 but doesn't say where it is"},
		{"not the file that was chosen", "six", "six-1.0-cp311-cp311-linux_x86_64.whl", wheel(good, hash), "uv chose six-1.0-cp311-cp311-linux_x86_64.whl of six==1.0 but doesn't say where it is"},
		{"sources were chosen", "six", "six-1.0.tar.gz", lockOf("six-1.0.tar.gz", "six-1.0-py3-none-any.whl"), "six==1.0 has no wheel for Python 3.11 on x86_64 with glibc 2.36, only sources that must be built"},
		{"a file URL", "six", "", wheel("file:///six-1.0-py3-none-any.whl", hash), `six-1.0-py3-none-any.whl is at "file:///six-1.0-py3-none-any.whl": only http and https URLs are supported`},
		{"a name that is none", "six", "six-1.0-any.whl", wheel("https://example.com/six-1.0-any.whl", hash), `the index offers "six-1.0-any.whl" for six, which is no name of a wheel`},
		{"no TOML", "six", "", "}", "reading the pylock.toml that uv writes"},
	}
	for _, tt := range tests {
		log := dryRun(" + six==1.0")
		if tt.chose != "" {
			log = "DEBUG Selecting: six==1.0 [compatible] (" + tt.chose + ")\n" + log
		}
		run := &script{install: said{stderr: log}, compile: said{stdout: tt.lock}}
		_, err := resolver(t, run).Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, tt.line)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Resolve: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// A list of changes that isn't understood is never taken for none.
func TestUnknownDryRun(t *testing.T) {
	for _, says := range []string{
		"", "Would install 1 package\n", "Would install 2 packages\n + six==1.0\n", "Would install 1 package\nWould uninstall 1 package\n + six==1.0\n",
		"Would install 1 package\n * six 1.0\n", " + six==1.0\n", dryRun(" + six==1.0") + strings.Repeat(strings.Repeat("x", 60_000)+"\n", 150),
	} {
		run := &script{install: said{stderr: says}, compile: said{stdout: lockOf("six-1.0-py3-none-any.whl")}}
		got, err := resolver(t, run).Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "six")})
		if err == nil || !strings.Contains(err.Error(), "doesn't understand") {
			t.Errorf("Resolve where uv says %.80q = %+v, %v, want an error", says, got, err)
		}
	}
}

// What is replaced by another file of its own version goes and comes.
func TestReplacedByItself(t *testing.T) {
	old := dist("six", "1.0")
	run := &script{
		install: said{stderr: "Would uninstall 1 package\nWould install 1 package\n ~ six==1.0\n"},
		compile: said{stdout: lockOf("six-1.0-py3-none-any.whl")},
	}
	got, err := resolver(t, run).Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(old), View: view(t, metadata(old)), Groups: group(t, "six")})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Wheels) != 1 || len(got.Remove) != 1 || got.Remove[0] != old {
		t.Errorf("Resolve = %+v, want a wheel and the removal of %v", got, old)
	}
}

// Hashes of a requirement are its own: another package isn't bound by them.
func TestHashes(t *testing.T) {
	run := &script{install: said{stderr: dryRun(" + six==1.0")}, compile: said{stdout: lockOf("six-1.0-py3-none-any.whl")}}
	_, err := resolver(t, run).Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(), View: view(t, nil),
		Groups: group(t, "six==1.0 --hash=sha256:"+sumB+" --hash=sha256:"+strings.ToUpper(sumA), "idna --hash=sha256:"+sumB),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "six==1.0 --hash=sha256:" + sumB; !strings.HasPrefix(run.input[0], want) {
		t.Errorf("uv was asked for %q, want %q first", run.input[0], want)
	}
}
