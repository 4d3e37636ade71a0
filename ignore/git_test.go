// SPDX-License-Identifier: Apache-2.0

package ignore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGitKept(t *testing.T) {
	tests := []struct {
		name  string
		rules string
		want  string // blank-separated
	}{
		{
			"a name matches at any depth, a path from the root",
			"README.md\nsrc/pkg\nnode_modules/\n.*\ndata",
			"Dockerfile docs/ docs/index.md src/ src/__pycache__/ src/__pycache__/m.pyc src/main.py",
		},
		{
			"below an ignored directory nothing is kept",
			"*\n!docs/index.md\n!src/\n!*.py",
			"src/ src/main.py",
		},
		{
			"directories only, kept again for what they hold",
			"/*\n!*/\n!*.md\n/node_modules\ndata/sub\\\nsrc/*/*.py\n",
			"README.md data/ data/big.bin data/sub/ data/sub/x.csv docs/ docs/README.md docs/index.md src/ src/__pycache__/ src/__pycache__/m.pyc src/main.py src/pkg/ src/pkg/empty/",
		},
		{
			"no rules, but .git is git's own",
			"# nothing",
			".dockerignore Dockerfile README.md data/ data/big.bin data/sub/ data/sub/x.csv docs/ docs/README.md docs/index.md node_modules/ node_modules/a/ node_modules/a/README.md node_modules/a/index.js src/ src/__pycache__/ src/__pycache__/m.pyc src/main.py src/pkg/ src/pkg/empty/ src/pkg/mod.py src/pkg/mod_test.py",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := kept(t, context, parse(t, "sub/.gitignore", tt.rules))
			if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" {
				t.Errorf("rules %q keep (-want +got):\n%s", tt.rules, diff)
			}
		})
	}
}

// A repository asks git which files it ignores.
type repository struct {
	dir   string
	names []string // of all files and directories
}

// newRepository makes a work tree of files, or skips the test.
func newRepository(t *testing.T, files []string) repository {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed, so there is nothing to compare with:", err)
	}
	r := repository{dir: t.TempDir()}
	r.run(t, "", "init", "--quiet", ".")
	for _, f := range files {
		name := filepath.Join(r.dir, f)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := fs.WalkDir(os.DirFS(r.dir), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || p == ".":
			return err
		case p == ".git":
			return fs.SkipDir
		}
		r.names = append(r.names, p)
		return nil
	})
	if err != nil || len(r.names) < len(files) {
		t.Fatalf("listing the work tree: %d names of %d files, error %v", len(r.names), len(files), err)
	}
	return r
}

// run runs git with no configuration but its own.
func (r repository) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = r.dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 && args[0] == "check-ignore" {
		err = nil // none is ignored
	}
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// kept lists what git doesn't ignore by the rules, in the order of names.
func (r repository) kept(t *testing.T, rules string) []string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, ".git/info/exclude"), []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	ignored := map[string]bool{}
	out := r.run(t, strings.Join(r.names, "\x00")+"\x00", "check-ignore", "--no-index", "--stdin", "-z")
	for name := range strings.SplitSeq(out, "\x00") {
		ignored[name] = true
	}
	kept := []string{}
	for _, name := range r.names {
		if !ignored[name] {
			kept = append(kept, name)
		}
	}
	return kept
}

func TestGit(t *testing.T) {
	t.Parallel()
	r := newRepository(t, []string{
		"a", "a.b", "ab", "abc", "a b", "a ", "a+b", "a(b)", "a$", "a^b", "a]", "[a]", `a\b`, "!a", "#a", "-", "+", "~", "é", "aéb", "x|y", "{a,b}",
		"d/a", "d/a.b", "d/ab", "d/d/a", "d/d/abc", "d/e/f/g", "dd/a", "d\nd/a", "d\nd/d/ab", "a\nb", ".a", "..a", "...", "d/.a", "7", "d/7b", "#$~", "e/d/a", "e/x",
	})
	atoms := []string{
		"a", "ab", "*", "**", "***", "?", "d", "d/", "/d/", "/", "//", "/a", "./a", "a/..", "../a", "d/*", "d/**", "/d/**", "**/a", "**/d", "**/d/", "**a", "a**", "d**", "d**/a", "/d**/a",
		"d/**/a", "**/d/**", "d/**/*", "*/*", "*/*/*", "**/**", "**/*", "**/*b", "*b", "*.b", "**/*.b", "d/*/a*", "?/?", "d/*/**", "?**/a", "d/***/a", "d*/", "*/", "/*/", "a**b", "d/a**", "d/**/**/a", "***/a", "**/**/a", "/**/**/b/**", "d**/**/[!a]", "/**b", "d**b/a",
		"[a]", "[ab]*", "[^a]", "[a-c]b", "d[^x]a", "d[+-1]a", "[!a]", "[!a]*", "a]", "[]a]", "[]-a]", "[a", "[*]", "[a*]b", "[?]", "[[:alpha:]]", "[[:nil:]]", "[![:alnum:]]*", "a[[:space:]]b", "d[[:cntrl:]]d", "[[:punct:]]*", "[c-a]", "[a-]", "[--0]", `[\]]`, `[\a-\c]b`, "[:a]b", "[[:a]", "[!]a]", "a[^ ]b", "[[:x]*",
		`\*`, `\a`, `\d`, `d/\d*`, `a\ `, `a\ b`, `a\\b`, `\`, `a\`, `\[a\]`, `\!a`, `\#a`, `\??`, `d\/a`, `**\/a`, `d/**\/a`, `a\  `,
		"a.b", "a?b", "a+b", "a(b)", "a$", "a^b", "a^*", "é", "*é*", "[é]", "#a", " #a", "a b", "a ", "a  ", " a", "!", "!!a", "x|*", "{a,b}", "*|y", "#$~", "?$*", "a.?", "*.*", "d/e", "e/", "/e/*", "*\r",
	}
	if len(atoms) < 100 {
		t.Fatalf("%d patterns, want the whole list", len(atoms))
	}
	for i, first := range atoms {
		rules := []string{first, first + "\r\n!" + atoms[(i*7+3)%len(atoms)] + "\n" + atoms[(i*13+5)%len(atoms)], "*\n!*/\n!" + first}
		for _, text := range rules {
			got := []string{}
			for _, p := range kept(t, os.DirFS(r.dir), parse(t, ".gitignore", text)) {
				got = append(got, strings.TrimSuffix(p, "/"))
			}
			if diff := cmp.Diff(r.kept(t, text), got); diff != "" {
				t.Errorf("rules %q keep (-git +got):\n%s", text, diff)
			}
		}
	}
}
