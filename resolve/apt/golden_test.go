// SPDX-License-Identifier: Apache-2.0

package apt_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/resolve/apt"
	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/archive/archivetest"
	"inlay/resolve/apt/deb822"
)

var update = flag.Bool("update", false, "write what is resolved into testdata")

var released = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A world is a parent and an archive, made of the files of a case: the suites
// are all those that aren't something else.
type world struct {
	dir     string // of the parent
	archive string // directory
	words   []string
	request apt.Request
}

func newWorld(t *testing.T, a *txtar.Archive) *world {
	t.Helper()
	key, err := archivetest.NewKey(released.Add(-time.Hour))
	must(t, err)
	keyring, err := key.Keyring()
	must(t, err)
	w := &world{dir: t.TempDir(), archive: t.TempDir()}
	w.request = apt.Request{Parent: os.DirFS(w.dir), Arch: "amd64", Now: released.Add(time.Hour)}
	w.put(t, "etc/apt/archive.gpg", string(keyring))
	var list strings.Builder
	for _, f := range a.Files {
		text := string(f.Data)
		switch f.Name {
		case "request":
			w.words = strings.Fields(text)
		case "options":
			w.options(t, strings.Fields(text))
		case "status":
			w.put(t, "var/lib/dpkg/status", complete(t, text, "Status: install ok installed"))
		case "preferences", "apt.conf":
			w.put(t, "etc/apt/"+f.Name, text)
		case "want":
		default:
			suite := archivetest.Suite{Name: f.Name, Codename: f.Name, Date: released, Head: "Architectures: amd64 all\nComponents: main\nNo-Support-for-Architecture-all: Packages\n"}
			if f.Name == "experimental" {
				suite.Head += "NotAutomatic: yes\n"
			}
			suite.Indexes = map[string]string{"main/binary-amd64": complete(t, text, "")}
			must(t, suite.Write(filepath.Join(w.archive, "dists", f.Name), key))
			fmt.Fprintf(&list, "deb [signed-by=/etc/apt/archive.gpg] file:%s %s main\n", w.archive, f.Name)
		}
	}
	w.put(t, "etc/apt/sources.list", list.String())
	return w
}

func (w *world) put(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(w.dir, name)
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

func (w *world) options(t *testing.T, names []string) {
	t.Helper()
	for _, name := range names {
		switch name {
		case "allow_remove":
			w.request.AllowRemove = true
		case "recommends":
			w.request.Recommends = true
		case "essential":
			w.request.Essential = true
		default:
			t.Fatalf("unknown option %q", name)
		}
	}
}

// complete adds the fields that a stanza of a case leaves out.
func complete(t *testing.T, text, status string) string {
	t.Helper()
	var b strings.Builder
	for in := deb822.NewReader(strings.NewReader(text)); ; {
		s, err := in.Next()
		if err == io.EOF {
			return b.String()
		}
		must(t, err)
		name, version := s.Get("Package"), s.Get("Version")
		arch := cmp.Or(s.Get("Architecture"), "amd64")
		file := name + "_" + version + "_" + arch + ".deb"
		fields := []string{"Architecture: " + arch, "Maintainer: Test <test@example.invalid>", "Installed-Size: 1"}
		if status != "" {
			fields = append(fields, status)
		} else {
			fields = append(fields, "Filename: pool/"+file, "Size: "+fmt.Sprint(len(file)), fmt.Sprintf("SHA256: %x", sha256.Sum256([]byte(file))))
		}
		b.WriteString(string(s))
		for _, f := range fields {
			if name, _, _ := strings.Cut(f, ":"); s.Get(name) == "" {
				b.WriteString(f + "\n")
			}
		}
		b.WriteString("\n")
	}
}

func (w *world) resolve(t *testing.T) (*apt.Resolved, error) {
	t.Helper()
	r := &apt.Resolver{Archives: &archive.Client{Files: &fetch.Store{Dir: t.TempDir()}, Values: disk.Values{Dir: t.TempDir()}}}
	return r.Resolve(t.Context(), w.request, w.words)
}

// cases returns the cases in testdata.
func cases(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	must(t, err)
	if len(names) == 0 {
		t.Fatal("there are no cases")
	}
	return names
}

// TestGolden compares what each case comes to with what it says. That apt-get
// comes to the same shows TestE2EGoldenAsApt.
func TestGolden(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(name)
			must(t, err)
			got := show(newWorld(t, a).resolve(t))
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
			if *update {
				if i < 0 {
					a.Files = append(a.Files, txtar.File{Name: "want"})
					i = len(a.Files) - 1
				}
				a.Files[i].Data = []byte(got)
				must(t, os.WriteFile(name, txtar.Format(a), 0o644))
			}
			if i < 0 {
				t.Fatalf("the case doesn't say what it comes to: write it with -update")
			}
			if diff := gocmp.Diff(string(a.Files[i].Data), got); diff != "" {
				t.Errorf("resolved (-want +got):\n%s", diff)
			}
		})
	}
}

// show writes a result, a line for each package.
func show(r *apt.Resolved, err error) string {
	if err != nil {
		hint := ""
		var h interface{ Hint() string }
		if errors.As(err, &h) {
			hint = "hint: " + h.Hint() + "\n"
		}
		return "error: " + err.Error() + "\n" + hint
	}
	var b strings.Builder
	for _, p := range r.Packages {
		fmt.Fprintf(&b, "+ %s %s", p.Name, p.Version)
		if p.Replaces != "" {
			fmt.Fprintf(&b, " in place of %s", p.Replaces)
		}
		fmt.Fprintf(&b, ": %s", p.Why)
		if p.Auto {
			b.WriteString(", auto")
		}
		b.WriteByte('\n')
	}
	for _, p := range r.Removed {
		fmt.Fprintf(&b, "- %s %s: %s\n", p.Name, p.Version, p.Why)
	}
	return cmp.Or(b.String(), "nothing\n")
}

// stricter are the cases in which we refuse, on purpose, what apt-get accepts;
// or in which it isn't asked the same.
var stricter = map[string]string{
	"conflict_removes":  "removals must be allowed",
	"index_lies":        "apt-get finds out when it fetches the file",
	"half_installed":    "apt-get goes on with such a parent",
	"foreign_installed": "parents of several architectures aren't supported",
	"sign_minus":        "removals can't be asked for",
	"essential":         "apt-get has no such request",
}

// TestE2EGoldenAsApt compares what each case says with what apt-get does.
func TestE2EGoldenAsApt(t *testing.T) {
	if os.Getenv("INLAY_E2E") == "" {
		t.Skip("it needs apt-get: set INLAY_E2E=DIR")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("there is no apt-get to compare with")
	}
	for _, name := range cases(t) {
		base := strings.TrimSuffix(filepath.Base(name), ".txtar")
		t.Run(base, func(t *testing.T) {
			if why := stricter[base]; why != "" {
				t.Skip(why)
			}
			a, err := txtar.ParseFile(name)
			must(t, err)
			w := newWorld(t, a)
			ours := outcomeOf(w.resolve(t))
			apts, problem := w.ask(t)
			if x := (result{ours: ours, apt: apts, aptProblem: problem}); !x.same() {
				t.Errorf("%v\n%s", w.words, x.difference())
			}
		})
	}
}

// ask asks apt-get, with the world's directory as its root.
func (w *world) ask(t *testing.T) (outcome, string) {
	t.Helper()
	for _, dir := range []string{"etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"} {
		must(t, os.MkdirAll(filepath.Join(w.dir, dir), 0o755))
	}
	if _, err := os.Stat(filepath.Join(w.dir, "var/lib/dpkg/status")); err != nil {
		w.put(t, "var/lib/dpkg/status", "")
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "etc/apt/sources.list"))
	must(t, err)
	w.put(t, "etc/apt/sources.list", strings.ReplaceAll(string(b), "signed-by=/etc/apt/archive.gpg", "trusted=yes"))
	w.put(t, "first.conf", fmt.Sprintf("Dir %q;\nAPT::Architecture \"amd64\";\nAPT::Architectures { \"amd64\"; };\n", w.dir))
	r := &aptRoot{dir: w.dir, env: append(os.Environ(), "APT_CONFIG="+filepath.Join(w.dir, "first.conf"), "LC_ALL=C")}
	if out, err := r.run(context.Background(), "update"); err != nil {
		return nil, string(out) // an index that it can't read
	}
	more := []string{"--allow-downgrades"}
	if w.request.Recommends {
		more = append(more, "-o", "APT::Install-Recommends=true")
	}
	return r.install(t.Context(), w.words, more...)
}
