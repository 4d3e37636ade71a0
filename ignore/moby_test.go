// SPDX-License-Identifier: Apache-2.0

package ignore_test

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"inlay/ignore"
)

// mobyKept lists what moby keeps of fsys, or nil if it can't read the rules.
// It walks everything and adds the directories that kept files need, as
// BuildKit does when it sends a context.
func mobyKept(t testing.TB, fsys fs.FS, text string) []string {
	t.Helper()
	pm, err := mobyRules(text)
	if err != nil {
		return nil
	}
	var (
		infos = map[string]patternmatcher.MatchInfo{}
		all   []string
		keep  = map[string]bool{}
	)
	err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == "." {
			return err
		}
		ignored, info, err := pm.MatchesUsingParentResults(p, infos[path.Dir(p)])
		if err != nil {
			return err
		}
		name := p
		if d.IsDir() {
			infos[p] = info
			name += "/"
		}
		all = append(all, name)
		if !ignored {
			for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
				keep[dir+"/"] = true
			}
			keep[name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatalf("walking with moby's rules %q: %v", text, err)
	}
	kept := []string{}
	for _, name := range all {
		if keep[name] {
			kept = append(kept, name)
		}
	}
	return kept
}

// mobyRules compiles rules. Some bad patterns moby finds only as it matches.
func mobyRules(text string) (*patternmatcher.PatternMatcher, error) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, p := range patterns {
		for _, list := range [][]string{{p}, {"*", p}} {
			pm, err := patternmatcher.New(list)
			if err != nil {
				return nil, err
			}
			if _, err := pm.MatchesOrParentMatches("x"); err != nil {
				return nil, err
			}
		}
	}
	return patternmatcher.New(patterns)
}

// compareMoby fails if Parse and Files do otherwise than moby.
func compareMoby(t *testing.T, fsys fs.FS, text string) {
	t.Helper()
	want := mobyKept(t, fsys, text)
	rules, err := ignore.Parse(strings.NewReader(text))
	if syntax := (*ignore.SyntaxError)(nil); (want == nil) != errors.As(err, &syntax) {
		t.Fatalf("Parse(%q) = %v, while moby refuses it: %t", text, err, want == nil)
	}
	if err != nil {
		return
	}
	got := append([]string{}, kept(t, fsys, rules)...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules %q keep (-moby +got):\n%s", text, diff)
	}
}

// odd are names that patterns may trip over.
var odd = []string{
	"a", "a.b", "ab", "abc", "a b", " a", "a+b", "a(b)", "a{b}", "a$", "a^b", "a]", "[a]", "a\\b", "!a", "#a", "-", "é", "aéb",
	"d/a", "d/a.b", "d/ab", "d/d/a", "d/d/abc", "d/e/f/g", "dd/a", "d\nd/a", "d\nd/d/ab", "a\nb", ".a", "..a", "...", "d/.a", "7", "d/7b",
}

func TestMoby(t *testing.T) {
	t.Parallel()
	fsys := tree(odd...)
	atoms := []string{
		"a", "ab", "*", "**", "***", "?", "d", "d/", "/", "//", "/a", "./a", "a/..", "d/..", "../a", "d/*", "d/**", "**/a", "**/d", "**a", "a**", "d**",
		"d/**/a", "**/d/**", "d/**/*", "*/*", "*/*/*", "**/**", "**/*", "**/*b", "**/a*", "*b", "*.b", "**/*.b", "d/*/a*", "?/?", "d/*/**", "d/**/abc",
		"[a]", "[ab]*", "[^a]", "[a-c]b", "d[^x]a", "[!a]", "a]", "[]a]", "[a", "[*]", "[a*]b", "[?]", `\*`, `\a`, `\d`, `d/\d*`, `\pL`, `\Qa`, `a\ b`, `a\\b`, `\`, `a\]`, `\[a\]`,
		"a.b", "a+b", "a(b)", "a{b}", "a$", "a^b", "a^*", "^*", "a$*", "é", "a?b", "*é*", "[é]", "#a", " #a", "a b", " a ", "/ a", "./ a", "a /", "!a", "/!a", "d/e/f", "d/?/f/g", ".", "..", "...", ".*", "..a", "x{0}y{1}", "d*a{0}b", "*0|a", "ab|d/*", "a*|d/*", "{a,b}*", "*{a}", "**/[a]", "a**b", "**b**",
	}
	for i, first := range atoms {
		for _, line := range []string{first, "*\n!" + first, "**/[a-z]*\n!" + first + "\nd/d", "! " + first + "\n*"} {
			compareMoby(t, fsys, line)
		}
		for j, second := range atoms {
			if (i+j)%13 == 0 { // enough, and all there is takes long
				compareMoby(t, fsys, first+"\n!"+second)
			}
		}
	}
}

func FuzzMoby(f *testing.F) {
	for i, rules := range []string{
		"*\n!d/a", "**/*.b\n!a.b\n#x", "d\n!d/**/a*\n[a-c]*", "\xef\xbb\xbf/d/../a\r\n?b", `\a` + "\n*[^b]\n!!a", "**d\n!**/d\nd/*/f/**", "[!a]\na{b}$^\n!.*",
	} {
		f.Add(rules, strings.Join(odd[i:], "\x00"))
	}
	f.Fuzz(func(t *testing.T, rules, names string) {
		// Moby complains on standard error about what is not UTF-8, drops a
		// byte order mark at the start of a pattern and bounds lines.
		if !utf8.ValidString(rules) || strings.ContainsAny(strings.TrimPrefix(rules, "\uFEFF"), "\uFEFF\x00") || len(rules) > 256 {
			t.Skip("moby reads these rules otherwise, on purpose")
		}
		fsys := fstest.MapFS{}
		for _, name := range strings.SplitN(names, "\x00", 40) {
			if len(name) < 100 && fs.ValidPath(name) && name != "." && !conflicts(fsys, name) {
				fsys[name] = &fstest.MapFile{}
			}
		}
		compareMoby(t, fsys, rules)
	})
}

// conflicts reports whether name is a directory of fsys, or below a file.
func conflicts(fsys fstest.MapFS, name string) bool {
	for other := range fsys {
		if strings.HasPrefix(other+"/", name+"/") || strings.HasPrefix(name+"/", other+"/") {
			return true
		}
	}
	return false
}
