// SPDX-License-Identifier: Apache-2.0

package apt_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"inlay/resolve/apt/deb822"
)

// An aptRoot is a directory that apt-get takes for the root, with this machine's
// sources.
type aptRoot struct {
	dir, arch string
	env       []string
	stanzas   map[string]string // by name=version
	essential []string
}

func newAptRoot(t *testing.T, arch string) *aptRoot {
	t.Helper()
	r := &aptRoot{dir: t.TempDir(), arch: arch}
	for _, d := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg", "usr/share/keyrings"} {
		must(t, os.MkdirAll(filepath.Join(r.dir, d), 0o755))
	}
	for _, d := range []string{"etc/apt", "usr/share/keyrings"} {
		must(t, os.CopyFS(filepath.Join(r.dir, d), os.DirFS("/"+d)))
	}
	conf := filepath.Join(r.dir, "first.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, "Dir %q;\nAPT::Architecture %q;\nAPT::Architectures { %q; };\n", r.dir, arch, arch), 0o644))
	r.env = append(os.Environ(), "APT_CONFIG="+conf, "LC_ALL=C")
	r.setStatus(t, "")
	if out, err := r.run(t.Context(), "update"); err != nil {
		t.Fatalf("apt-get update: %v\n%s", err, out)
	}
	r.readLists(t)
	return r
}

func (r *aptRoot) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{
		"-o", "APT::Sandbox::User=root", "-o", "Acquire::GzipIndexes=false", "-o", "Acquire::Languages=none",
		"-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin",
		"-o", "Dir::State::status=" + filepath.Join(r.dir, "var/lib/dpkg/status"),
		"-o", "Debug::NoLocking=true",
	}, args...)...)
	cmd.Env = r.env
	return cmd.CombinedOutput()
}

func (r *aptRoot) setStatus(t *testing.T, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(r.dir, "var/lib/dpkg/status"), []byte(text), 0o644))
}

// readLists reads what apt-get update got.
func (r *aptRoot) readLists(t *testing.T) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(r.dir, "var/lib/apt/lists/*_Packages"))
	must(t, err)
	r.stanzas = map[string]string{}
	seen := map[string]bool{}
	for _, name := range names {
		f, err := os.Open(name)
		must(t, err)
		defer f.Close()
		for in := deb822.NewReader(f); ; {
			s, err := in.Next()
			if err == io.EOF {
				break
			}
			must(t, err)
			p := s.Get("Package")
			r.stanzas[p+"="+s.Get("Version")] = string(s)
			if s.Get("Essential") == "yes" && !seen[p] {
				seen[p] = true
				r.essential = append(r.essential, p)
			}
		}
	}
	slices.Sort(r.essential)
	if len(r.essential) < 10 || len(r.stanzas) < 10000 {
		t.Fatalf("the lists have %d packages, %d of them essential", len(r.stanzas), len(r.essential))
	}
}

// An outcome is what a set of packages comes to: lines "+name version" and
// "-name", sorted; nil if it is refused.
type outcome []string

var (
	reInst = regexp.MustCompile(`(?m)^Inst (\S+) (?:\[[^\]]*\] )?\((\S+) `)
	reRemv = regexp.MustCompile(`(?m)^Remv (\S+) `)
)

// install asks apt-get.
func (r *aptRoot) install(ctx context.Context, words []string, more ...string) (outcome, string) {
	out, err := r.run(ctx, slices.Concat([]string{"-s", "-y", "-o", "APT::Install-Recommends=false", "-o", "APT::Get::AutomaticRemove=false"}, more, []string{"install"}, words)...)
	if err != nil {
		return nil, lastLines(string(out))
	}
	o := outcome{}
	for _, m := range reInst.FindAllStringSubmatch(string(out), -1) {
		o = append(o, "+"+m[1]+" "+m[2])
	}
	for _, m := range reRemv.FindAllStringSubmatch(string(out), -1) {
		o = append(o, "-"+m[1])
	}
	slices.Sort(o)
	return o, ""
}

func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(len(lines)-3, 0):], " / ")
}

// statusOf writes the status file of a parent that has what installing words
// in an empty one brings.
func (r *aptRoot) statusOf(t *testing.T, words []string, more ...string) string {
	t.Helper()
	o, problem := r.install(t.Context(), words, more...)
	if o == nil {
		t.Fatalf("making a parent of %v: %s", words, problem)
	}
	var b strings.Builder
	for _, line := range o {
		name, version, _ := strings.Cut(line[1:], " ")
		stanza := r.stanzas[name+"="+version]
		if stanza == "" {
			t.Fatalf("no stanza of %s", line)
		}
		head, rest, _ := strings.Cut(stanza, "\n")
		b.WriteString(head + "\nStatus: install ok installed\n")
		for name, value := range deb822.Stanza(rest).Fields() {
			if !slices.Contains([]string{"Filename", "Size", "SHA256", "MD5sum", "Description-md5"}, name) {
				b.WriteString(name + ": " + value + "\n")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
