// SPDX-License-Identifier: Apache-2.0

package apt_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/resolve/apt"
	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/setup"
)

// TestE2EApt compares what Resolve chooses with what apt-get chooses, for sets
// of packages, 200 if INLAY_APT_SETS is "all", on amd64 and arm64, over parents that differ in what they
// have. Its report is apt-report.md in the directory INLAY_E2E.
func TestE2EApt(t *testing.T) {
	dir := os.Getenv("INLAY_E2E")
	if dir == "" {
		t.Skip("it needs the network and apt-get: set INLAY_E2E=DIR")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("there is no apt-get to compare with")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := setsEach
	if os.Getenv("INLAY_APT_SETS") != "all" {
		n = setsEach / 6
		t.Logf("%d sets for each parent of the %d that `just apt-sets` compares", n, setsEach)
	}
	var report comparison
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			r := newAptRoot(t, arch)
			for i, p := range r.parents(t) {
				t.Run(p.name, func(t *testing.T) {
					r.compare(t, p, r.sets(n, uint64(i)), filepath.Join(dir, "cache", "apt"), &report)
				})
			}
		})
	}
	if err := os.WriteFile(filepath.Join(dir, "apt-report.md"), []byte(report.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if len(report.results) == 0 {
		t.Error("nothing was compared")
	}
}

// setsEach is the number of sets for a parent, besides those that are hard for
// it: 200 and more for six parents on two architectures, which takes minutes.
const setsEach = 17

// parents returns the parents that are compared.
func (r *aptRoot) parents(t *testing.T) []parent {
	t.Helper()
	s, err := setup.Read(os.DirFS(r.dir))
	must(t, err)
	first := s.Sources[0]
	list := filepath.Join(r.dir, "first.list")
	signed := ""
	if len(first.SignedBy) > 0 {
		signed = "[signed-by=" + strings.Join(first.SignedBy, ",") + "] "
	}
	must(t, os.WriteFile(list, fmt.Appendf(nil, "deb %s%s %s %s\n", signed, first.URL, first.Suite, strings.Join(first.Components, " ")), 0o644))
	base := append(slices.Clone(r.essential), "apt")
	with := func(names string) []string { return append(slices.Clone(base), strings.Fields(names)...) }
	const slim = "ca-certificates netbase tzdata libbz2-1.0 libffi8 libgdbm6 libncursesw6 libreadline8 libsqlite3-0 libuuid1 liblzma5 zlib1g libexpat1"
	const full = slim + " build-essential git curl wget mercurial libcurl4-openssl-dev libssl-dev libxml2-dev libffi-dev zlib1g-dev python3-dev default-libmysqlclient-dev imagemagick"
	released := []string{"-o", "Dir::Etc::SourceList=" + list, "-o", "Dir::Etc::SourceParts=-"}
	minimal := r.statusOf(t, base)
	return []parent{
		{name: "empty"},
		{name: "minimal", status: minimal},
		{name: "slim", status: r.statusOf(t, with(slim))},
		{name: "full", status: r.statusOf(t, with(full)), hard: []string{"libcurl4-gnutls-dev", "default-mta libcurl4-gnutls-dev", "gcc-11", "libssl-dev xz-utils"}},
		{
			name: "upgrades", status: r.statusOf(t, with(slim+" openssl perl xz-utils curl git python3 gnupg"), released...),
			hard: []string{"xz-utils", "liblzma-dev", "perl", "libssl-dev", "openssl/" + first.Suite, "git/" + first.Suite + " libcurl4-openssl-dev"},
		},
		{name: "minimal, recommends", status: minimal, recommends: true},
	}
}

// picked are sets of packages that images of the field want, and some that are
// hard.
var picked = strings.Split(strings.TrimSpace(`
git curl libsm6 libxext6
build-essential
libgl1 libglib2.0-0
ffmpeg
libgomp1
git wget unzip
openjdk-17-jre-headless
python3-dev python3-pip
libpq-dev gcc
default-libmysqlclient-dev pkg-config
graphviz
tesseract-ocr
poppler-utils
libopencv-dev
nginx
redis-server
postgresql-client
sqlite3
xz-utils
perl
openssl ca-certificates
vim-tiny less
openssh-client rsync
nodejs npm
r-base-core
texlive-base
cmake ninja-build
gfortran libopenblas-dev
libhdf5-dev
libsndfile1 sox
gdal-bin
awscli
netcat
mail-transport-agent
exim4 postfix
libcurl4-gnutls-dev
libcurl4-openssl-dev libcurl4-gnutls-dev
default-jdk
docker.io
systemd
dbus
python3-numpy python3-pandas
chromium
g++ make
gcc-12-base
libstdc++6
locales-all
tini dumb-init
procps psmisc
jq
no-such-package
git no-such-package
xserver-xorg
fonts-dejavu
imagemagick
libreoffice-core
emacs-nox
mariadb-server
default-mta
clang llvm
`), "\n")

// sets returns n sets of packages: the picked ones, then some by chance, though
// the same each time.
func (r *aptRoot) sets(n int, seed uint64) [][]string {
	var names []string
	for key := range r.stanzas {
		name, _, _ := strings.Cut(key, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	chance := rand.New(rand.NewPCG(seed, 1))
	var all [][]string
	for i := range n {
		if k := i / 2; i%2 == 0 && k < len(picked) {
			all = append(all, strings.Fields(picked[(k+int(seed)*(n+1)/2)%len(picked)]))
			continue
		}
		var set []string
		for range 1 + chance.IntN(3) {
			set = append(set, names[chance.IntN(len(names))])
		}
		all = append(all, set)
	}
	return all
}

// A result is a comparison of one set.
type result struct {
	arch, parent string
	words        []string
	ours, apt    outcome
	problem      string // ours, if it is refused
	aptProblem   string
	took         time.Duration
}

func (x result) same() bool {
	return (x.ours == nil) == (x.apt == nil) && slices.Equal(x.ours, x.apt)
}

type comparison struct {
	mu      sync.Mutex
	results []result
	loaded  []string
}

// A parent is one that packages are installed in.
type parent struct {
	name, status string
	hard         []string // sets that are hard in this one
	recommends   bool     // is what is recommended installed
}

func (r *aptRoot) compare(t *testing.T, p parent, sets [][]string, cache string, report *comparison) {
	r.setStatus(t, p.status)
	start := time.Now()
	system, err := (&apt.Resolver{Archives: client(cache)}).Open(t.Context(), apt.Request{
		Parent: os.DirFS(r.dir), Arch: r.arch, Recommends: p.recommends, AllowRemove: true, Now: time.Now(),
	})
	must(t, err)
	report.loaded = append(report.loaded, fmt.Sprintf("%s %s: %v", r.arch, p.name, time.Since(start).Round(time.Millisecond)))
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(2)
	for _, hard := range p.hard {
		sets = append(sets, strings.Fields(hard))
	}
	var more []string
	if p.recommends {
		more = []string{"-o", "APT::Install-Recommends=true"}
	}
	more = append(more, "--allow-downgrades")
	for _, words := range sets {
		x := result{arch: r.arch, parent: p.name, words: words}
		begin := time.Now()
		x.ours, x.problem = ours(system, words)
		x.took = time.Since(begin)
		g.Go(func() error {
			x.apt, x.aptProblem = r.install(ctx, words, more...)
			report.mu.Lock()
			defer report.mu.Unlock()
			report.results = append(report.results, x)
			if !x.same() {
				t.Errorf("%v\n%s", words, x.difference())
			}
			return nil
		})
	}
	must(t, g.Wait())
}

func client(dir string) *archive.Client {
	return &archive.Client{
		Files: &fetch.Store{Dir: filepath.Join(dir, "files")}, Values: disk.Values{Dir: filepath.Join(dir, "indexes")}, Jobs: 4,
	}
}

// ours asks Resolve.
func ours(s *apt.System, words []string) (outcome, string) {
	r, err := s.Resolve(words)
	if err != nil {
		return nil, err.Error()
	}
	return outcomeOf(r, nil), ""
}

// outcomeOf returns a result as an outcome.
func outcomeOf(r *apt.Resolved, err error) outcome {
	if err != nil {
		return nil
	}
	o := outcome{}
	for _, p := range r.Packages {
		o = append(o, "+"+p.Name+" "+p.Version)
	}
	for _, p := range r.Removed {
		o = append(o, "-"+p.Name)
	}
	slices.Sort(o)
	return o
}

// difference shows what only one of both has.
func (x result) difference() string {
	var b strings.Builder
	if x.ours == nil {
		fmt.Fprintf(&b, "we refuse: %s\n", x.problem)
	}
	if x.apt == nil {
		fmt.Fprintf(&b, "apt refuses: %s\n", x.aptProblem)
	}
	for _, line := range x.ours {
		if !slices.Contains(x.apt, line) {
			fmt.Fprintf(&b, "only ours: %s\n", line)
		}
	}
	for _, line := range x.apt {
		if !slices.Contains(x.ours, line) {
			fmt.Fprintf(&b, "only apt: %s\n", line)
		}
	}
	return b.String()
}

// String writes the report.
func (c *comparison) String() string {
	var b bytes.Buffer
	same, refused, packages := 0, 0, 0
	for _, x := range c.results {
		if x.same() {
			same++
		}
		if x.apt == nil {
			refused++
		}
		packages += len(x.apt)
	}
	fmt.Fprintf(&b, "# Resolved as apt does\n\n%d sets, %d the same, %d of them refused by both; %d packages.\n\n", len(c.results), same, refused, packages)
	fmt.Fprintf(&b, "Reading status and indexes: %s.\n\n", strings.Join(c.loaded, ", "))
	fmt.Fprintf(&b, "| arch | parent | packages asked for | result | apt-get | equal | our time |\n|---|---|---|---|---|---|---|\n")
	slices.SortStableFunc(c.results, func(a, b result) int {
		return strings.Compare(a.arch+a.parent+strings.Join(a.words, " "), b.arch+b.parent+strings.Join(b.words, " "))
	})
	for _, x := range c.results {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %v | %v |\n", x.arch, x.parent, strings.Join(x.words, " "), x.ours.count(), x.apt.count(), x.same(), x.took.Round(time.Millisecond))
	}
	return b.String()
}

func (o outcome) count() string {
	if o == nil {
		return "refused"
	}
	removed := 0
	for _, line := range o {
		if line[0] == '-' {
			removed++
		}
	}
	if removed == 0 {
		return fmt.Sprintf("%d", len(o))
	}
	return fmt.Sprintf("%d, removes %d", len(o)-removed, removed)
}
