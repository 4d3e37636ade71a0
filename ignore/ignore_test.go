// SPDX-License-Identifier: Apache-2.0

package ignore_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"inlay/ignore"
)

// context is a small project: source, tests, generated files and a big
// directory that nobody wants.
var context = tree(
	".dockerignore", ".git/config", ".git/HEAD", "Dockerfile", "README.md",
	"data/big.bin", "data/sub/x.csv", "docs/README.md", "docs/index.md",
	"node_modules/a/index.js", "node_modules/a/README.md", "src/__pycache__/m.pyc",
	"src/main.py", "src/pkg/mod.py", "src/pkg/mod_test.py", "src/pkg/empty/",
)

// tree makes a file system of empty files; a path that ends in a slash is an
// empty directory.
func tree(paths ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for _, p := range paths {
		name, dir := strings.CutSuffix(p, "/")
		m[name] = &fstest.MapFile{Mode: 0o644}
		if dir {
			m[name].Mode = fs.ModeDir | 0o755
		}
	}
	return m
}

// kept lists what rules keep of fsys, directories with a slash at the end.
func kept(t testing.TB, fsys fs.FS, rules *ignore.Rules) []string {
	t.Helper()
	var paths []string
	for e, err := range ignore.Files(fsys, rules) {
		if err != nil {
			t.Fatalf("Files: %v", err)
		}
		p := e.Path
		if e.IsDir() {
			p += "/"
		}
		paths = append(paths, p)
	}
	return paths
}

func parse(t testing.TB, name, text string) *ignore.Rules {
	t.Helper()
	rules, err := ignore.ParseFile(name, strings.NewReader(text))
	if err != nil {
		t.Fatalf("ParseFile(%q, %q) = %v", name, text, err)
	}
	return rules
}

func TestFilesOrder(t *testing.T) {
	want := []string{
		".dockerignore", ".git/", ".git/HEAD", ".git/config", "Dockerfile", "README.md",
		"data/", "data/big.bin", "data/sub/", "data/sub/x.csv", "docs/", "docs/README.md", "docs/index.md",
		"node_modules/", "node_modules/a/", "node_modules/a/README.md", "node_modules/a/index.js",
		"src/", "src/__pycache__/", "src/__pycache__/m.pyc", "src/main.py",
		"src/pkg/", "src/pkg/empty/", "src/pkg/mod.py", "src/pkg/mod_test.py",
	}
	for name, rules := range map[string]*ignore.Rules{
		"nil": nil, "zero": {}, "an empty file": parse(t, ".dockerignore", "\n# nothing\n  \n"),
	} {
		if diff := cmp.Diff(want, kept(t, context, rules)); diff != "" {
			t.Errorf("Files with %s rules (-want +got):\n%s", name, diff)
		}
	}
}

func TestFilesKept(t *testing.T) {
	tests := []struct {
		name  string
		rules string
		want  string // blank-separated
	}{
		{
			"an allowlist gives the directories that its files need",
			"*\n!src/pkg/mod.py\n!docs/*.md\n",
			"docs/ docs/README.md docs/index.md src/ src/pkg/ src/pkg/mod.py",
		},
		{
			"an exception below an ignored directory, with nothing there",
			"*\n!src/nothing\n!README.md\n",
			"README.md",
		},
		{
			"an exception for a directory keeps what is in it, but not what a later rule ignores",
			"*\n!src\n**/*.pyc\nsrc/pkg/empty\n",
			"src/ src/__pycache__/ src/main.py src/pkg/ src/pkg/mod.py src/pkg/mod_test.py",
		},
		{
			"an exception before the rule has no effect",
			"!docs/index.md\nd*\n.*\nD*\nnode_modules\nsrc/",
			"README.md",
		},
		{
			"the last rule that matches wins",
			"!**/*.md\n[^R]*\n.*\n!docs/*.md\n**/README.md\n!README.md",
			"README.md docs/ docs/index.md",
		},
		{
			"like moby, a rule is not tried on a directory that is ignored anyway, so it doesn't count below it",
			"*\n!**/*.md\ndocs\nnode_modules/a",
			"README.md docs/ docs/README.md docs/index.md node_modules/ node_modules/a/ node_modules/a/README.md",
		},
		{
			"neither Dockerfile nor ignore file is special",
			"[^.D]*\n.git\n",
			".dockerignore Dockerfile",
		},
		{
			"spaces, line ends, leading slashes and dots",
			"\xef\xbb\xbf  /src/../.git/ \r\n\t./data\t\r\n! /data/sub\r\nd?cs\r\nnode_*\r\nsrc/**\r\n/Dockerfile\n.dockerignore\nREADME\\.md",
			"data/ data/sub/ data/sub/x.csv src/",
		},
		{
			"names above the context match nothing",
			"../data\n..\n/\n.\n./\n*.md\n.*\nn*\nsrc\ndocs\nDockerfile",
			"data/ data/big.bin data/sub/ data/sub/x.csv",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := kept(t, context, parse(t, "some.dockerignore", tt.rules))
			if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" {
				t.Errorf("rules %q keep (-want +got):\n%s", tt.rules, diff)
			}
		})
	}
}

// openedFS notes which directories are read, and may refuse one.
type openedFS struct {
	fs.FS
	read   map[string]bool
	refuse string
}

func (f openedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	f.read[name] = true
	if name == f.refuse {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return fs.ReadDir(f.FS, name)
}

func TestFilesPrunes(t *testing.T) {
	tests := []struct {
		name   string
		file   string
		rules  string
		pruned []string // directories that are not read
		read   []string // directories that are
	}{
		{"no exceptions", "", "node_modules", []string{"node_modules"}, []string{"src"}},
		{"an exception elsewhere", "", "node_modules\n.git\n!src/main.py", []string{"node_modules", ".git"}, nil},
		{"an exception of another prefix", "", "**/[a-z]*\n!src/*/[m]*.py", []string{"node_modules", "docs"}, []string{"src", "src/pkg"}},
		{"an exception not so deep", "", "*\n!*/*.md", []string{"node_modules/a", "src/pkg"}, []string{"node_modules", "docs"}},
		{"an exception at the top", "", "*\n!*.md", []string{"node_modules", "docs"}, nil},
		{"an overruled exception", "", "!**/*.md\nnode_modules", []string{"node_modules"}, []string{"data/sub"}},
		{"an exception of any depth", "", "*\n!**/*.md", nil, []string{"node_modules/a"}},
		{"an exception for all below", "", "*\n!src/pkg/**", []string{"node_modules", "src/__pycache__"}, []string{"src/pkg"}},
		{"git", ".gitignore", "/node_modules\n!README.md", []string{"node_modules", ".git"}, []string{"docs"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := openedFS{FS: context, read: map[string]bool{}}
			kept(t, fsys, parse(t, tt.file, tt.rules))
			for _, dir := range tt.pruned {
				if fsys.read[dir] {
					t.Errorf("rules %q: directory %s is read, want it left alone", tt.rules, dir)
				}
			}
			for _, dir := range tt.read {
				if !fsys.read[dir] {
					t.Errorf("rules %q: directory %s is not read", tt.rules, dir)
				}
			}
		})
	}
}

func TestFilesUnreadable(t *testing.T) {
	tests := []struct {
		name, rules string
		wantErr     bool
	}{
		{"kept", "*.md", true},
		{"ignored", "data", false},
		{"ignored, and an exception looks for files in it", "data\n!data/sub", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := openedFS{FS: context, read: map[string]bool{}, refuse: "data"}
			var got error
			var after int
			for e, err := range ignore.Files(fsys, parse(t, "", tt.rules)) {
				switch {
				case got != nil:
					after++
				case err != nil && e.Path != "data":
					t.Errorf("Entry.Path = %q with error %v, want the directory", e.Path, err)
				}
				got = err
			}
			if errors.Is(got, fs.ErrPermission) != tt.wantErr || after > 0 {
				t.Errorf("Files of rules %q: error %v and %d entries after it, want an error: %t", tt.rules, got, after, tt.wantErr)
			}
		})
	}
}

func TestFilesStops(t *testing.T) {
	var got []string
	for e := range ignore.Files(context, parse(t, "", "*\n!data/sub/x.csv\n!src")) {
		got = append(got, e.Path)
		if e.Path == "data/sub" {
			break
		}
	}
	if diff := cmp.Diff([]string{"data", "data/sub"}, got); diff != "" {
		t.Errorf("Files up to data/sub (-want +got):\n%s", diff)
	}
}

func TestSyntaxError(t *testing.T) {
	tests := []struct {
		name, text string
		line       int
		rule       string
		message    string
		hint       string
	}{
		{"an empty exception", "a\n\n! \n", 3, "! ", `d/.dockerignore:3: ignore rule "! ": it keeps nothing`, "!src/main.py"},
		{"an exception for the root", "!/", 1, "!/", `d/.dockerignore:1: ignore rule "!/": it keeps nothing`, "!src/main.py"},
		{"an open bracket", "#\r\n*.py[co\r\n", 2, "*.py[co", `d/.dockerignore:2: ignore rule "*.py[co": a bracket or backslash in it is not complete`, "*.py[co]"},
		{"a backslash at the end", `a\`, 1, `a\`, `d/.dockerignore:1: ignore rule "a\\": a bracket or backslash in it is not complete`, `\[`},
		{"what moby finds out only as it matches", `[[:nil:]]`, 1, `[[:nil:]]`, `d/.dockerignore:1: ignore rule "[[:nil:]]": a bracket or backslash in it means nothing`, `\[`},
		{"a file too large", strings.Repeat("a/b\n", 1<<18) + "a", 1, "", `d/.dockerignore:1: the file is larger than 1 MiB`, "data/**"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := ignore.ParseFile("d/.dockerignore", strings.NewReader(tt.text))
			var got *ignore.SyntaxError
			if !errors.As(err, &got) || rules != nil {
				t.Fatalf("ParseFile(%.40q) = %v, %v; want a *SyntaxError", tt.text, rules, err)
			}
			if got.File != "d/.dockerignore" || got.Line != tt.line || got.Rule != tt.rule {
				t.Errorf("ParseFile(%.40q) = %+v, want line %d, rule %q", tt.text, got, tt.line, tt.rule)
			}
			if got.Error() != tt.message {
				t.Errorf("Error() = %s, want %s", got.Error(), tt.message)
			}
			if !strings.Contains(got.Hint(), "`"+tt.hint+"`") {
				t.Errorf("Hint() = %s, want one that shows %s", got.Hint(), tt.hint)
			}
		})
	}
	if _, err := ignore.Parse(strings.NewReader("[")); err == nil || err.Error() != `line 1: ignore rule "[": a bracket or backslash in it is not complete` {
		t.Errorf("Parse([) = %v, want an error without a file name", err)
	}
}

func TestParseReadError(t *testing.T) {
	broken := errors.New("broken")
	for _, name := range []string{".dockerignore", ".gitignore"} {
		_, err := ignore.ParseFile(name, iotest.ErrReader(broken))
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), name) {
			t.Errorf("ParseFile(%s) of a broken reader = %v, want its error and the name", name, err)
		}
	}
}
