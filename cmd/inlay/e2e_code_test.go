// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestE2ECode runs one image with a source that it doesn't hold: a commit of a
// repository, then changes to it from an artifact store. Both podman and inlay
// run what was built last.
func TestE2ECode(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	// Only its owner may enter t.TempDir, and the image has a user.
	top, err := os.MkdirTemp("", "inlay-e2e-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	at := serveGit(t, top) + "/project.git"
	src := filepath.Join(top, "checkout", "training")
	write(t, filepath.Join(src, "inlay.yaml"), "stack: stack.yaml\nsettings:\n  docker: {parent_image: '"+e.parent("debian")+"', cmd: [python3, main.py, by default], user: '1000', install_stack_requirements: false}\n")
	write(t, filepath.Join(src, "stack.yaml"), fmt.Sprintf("components:\n- {type: orchestrator, flavor: kubernetes}\n- {type: code_repository, flavor: git, config: {url: '%s'}}\n- {type: artifact_store, flavor: local, config: {path: '%s/store'}}\n", at, top))
	write(t, filepath.Join(src, "main.py"), "import os, sys\nfrom über import word\nprint(word.WORD, sys.argv[1:], os.getcwd(), os.getuid(), sorted(os.listdir()))\n")
	write(t, filepath.Join(src, "über", "word.py"), "WORD = 'committed'\n")
	write(t, filepath.Join(src, ".gitignore"), "*.log\n")
	write(t, filepath.Join(src, "big.log"), "ignored")
	git := func(args ...string) {
		t.Helper()
		must(t, nil, "git", append([]string{"-C", filepath.Join(top, "checkout"), "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
	}
	must(t, nil, "git", "init", "-q", "--bare", filepath.Join(top, "project.git"))
	git("init", "-q", "-b", "main")
	git("add", "-A")
	git("commit", "-q", "-m", "one")
	git("remote", "add", "origin", at)
	git("push", "-q", filepath.Join(top, "project.git"), "main")

	image := filepath.Join(top, "image")
	var digests []string
	for _, tt := range []struct{ edit, location, word string }{
		{"", "git+" + at + "@", "committed"},
		{"changed", "file://" + top + "/store/code_uploads/", "changed"},
		{"changing", "file://" + top + "/store/code_uploads/", "changing"},
	} {
		if tt.edit != "" {
			write(t, filepath.Join(src, "über", "word.py"), "WORD = '"+tt.edit+"'\n")
		}
		built := e.inlay(t, "build", "-o", "oci:"+image, src)
		digests = append(digests, built.stdout)
		_, location, _ := strings.Cut(built.stderr, "run it with ")
		location, _, _ = strings.Cut(location, "\n")
		if !strings.HasPrefix(location, "INLAY_CODE="+tt.location) {
			t.Fatalf("the source is at %q, want %s…\n%s", location, tt.location, built.stderr)
		}
		flags := []string{"-e", location, "-v", top + "/store:" + top + "/store:ro"}
		if err := os.MkdirAll(filepath.Join(top, "store"), 0o755); err != nil {
			t.Fatal(err)
		}
		const files = " /app 1000 ['.gitignore', 'inlay.yaml', 'main.py', 'stack.yaml', 'über']\n"
		for _, args := range [][]string{nil, {"python3", "main.py", "a b"}} {
			want := tt.word + " ['by default']" + files
			if args != nil {
				want = tt.word + " ['a b']" + files
			}
			theirs := command(t, append(e.store(), "NETWORK=host", "RUN_ARGS="+strings.Join(flags, " ")), filepath.Join(e.scripts, "run.sh"), append([]string{image, "--"}, args...)...)
			ours := command(t, []string{"INLAY_CACHE_DIR=" + e.cache}, e.program, slices.Concat([]string{"run", "-q"}, flags, []string{"oci:" + image, "--"}, args)...)
			for who, got := range map[string]outcome{"podman": theirs, "inlay": ours} {
				if got.stdout != want || got.err != nil {
					t.Errorf("%s runs %q of %s: %q, %v %s, want %q", who, args, location, got.stdout, got.err, got.stderr, want)
				}
			}
		}
	}
	if digests[0] != digests[1] || digests[1] != digests[2] {
		t.Errorf("the image changes with its source: %q", digests)
	}
}

// serveGit serves the repositories in a directory as a host does, and returns
// where.
func serveGit(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	return "http://" + serve(t, func(w http.ResponseWriter, r *http.Request) {
		h := cgi.Handler{Path: program, Stderr: io.Discard, Logger: log.New(io.Discard, "", 0), Env: []string{
			"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_PROTOCOL=" + r.Header.Get("Git-Protocol"),
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		}}
		h.ServeHTTP(w, r)
	})
}
