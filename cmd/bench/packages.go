// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"inlay/resolve/plan"
)

// suite is the Debian that packages are taken from.
const suite = "bookworm"

// packaged are the workloads of Debian packages. They need no registry, no index
// and no parent.
var packaged = map[string]func(*bench, context.Context, *packages) error{
	"bootstrap": (*bench).compareBootstrap,
	"apt":       (*bench).compareApt,
}

// The packages of the workload apt: with what they need they are over a hundred,
// about fifty, and one more.
var (
	many  = strings.Fields("git curl libsm6 libxext6 build-essential libgl1 libgomp1")
	fifty = strings.Fields("git curl libsm6 libxext6 nginx")
	added = "rsync"
)

// packages is what the workloads of Debian packages share.
type packages struct {
	*mirror
	report io.Writer
	work   string
	cache  string // inlay's
	root   string // apt-get's
	parent string // an OCI layout
}

// newPackages starts the mirror and makes a parent of Debian packages alone,
// which also brings its packages to this machine.
func (b *bench) newPackages(ctx context.Context, report io.Writer) (_ *packages, err error) {
	if b.inlay, err = b.installed(b.inlay); err != nil {
		return nil, err
	}
	m, err := newMirror(ctx, b, suite)
	if err != nil {
		return nil, err
	}
	work := filepath.Join(b.work, "packages")
	p := &packages{mirror: m, report: report, work: work, cache: work + "/cache", root: work + "/root", parent: work + "/parent"}
	if err := os.MkdirAll(work, 0o755); err != nil { //nolint:gosec // a directory like any other
		return nil, err
	}
	cmd := b.bootstrap(ctx, p)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("bootstrapping the parent: %w\n%s", err, tail(out))
	}
	return p, nil
}

// A figure is what one tool took for one scenario, in each run.
type figure struct {
	scenario, tool string
	took           []usage
}

type figures []*figure

func (f *figures) add(scenario, tool string, u usage) {
	fmt.Fprintf(os.Stderr, "%s, %s: %.1f s, %.2f CPU s, %d MB\n", tool, scenario, u.wall.Seconds(), u.cpu.Seconds(), u.peak/1e6)
	for _, g := range *f {
		if g.scenario == scenario && g.tool == tool {
			g.took = append(g.took, u)
			return
		}
	}
	*f = append(*f, &figure{scenario, tool, []usage{u}})
}

// write prints the table, scenario by scenario in the order of their first
// figure. Ratios are to the first tool of a scenario.
func (f figures) write(w io.Writer) {
	_, _ = fmt.Fprint(w, "| build | with | wall s | wall, as a multiple | CPU s | CPU, as a multiple | peak MB |\n|---|---|--:|--:|--:|--:|--:|\n")
	done := map[string]bool{}
	for _, first := range f {
		if done[first.scenario] {
			continue
		}
		done[first.scenario] = true
		title, base := first.scenario, median(first.took)
		for _, g := range f {
			if g.scenario != first.scenario {
				continue
			}
			u := median(g.took)
			fmt.Fprintf(w, "| %s | %s | %.2f | %.1f | %.2f | %.1f | %d |\n", title, g.tool, u.wall.Seconds(), ratio(u.wall, base.wall),
				u.cpu.Seconds(), ratio(u.cpu, base.cpu), u.peak/1e6)
			title = ""
		}
	}
}

func ratio(d, base time.Duration) float64 { return d.Seconds() / max(base.Seconds(), 0.001) }

// measure runs a command, and notes if the mirror had to fetch something for it.
func (p *packages) measure(ctx context.Context, b *bench, cmd *exec.Cmd) (usage, error) {
	before := p.fetched.Load()
	u, err := measure(ctx, cmd, 0)
	if n := p.fetched.Load() - before; n > 0 {
		b.note("%d files came from the network while %s was measured", n, filepath.Base(cmd.Args[0]))
	}
	return u, err
}

// command is inlay with the mirror. The image goes to a new directory.
func (b *bench) command(ctx context.Context, p *packages, verb, out string, args ...string) *exec.Cmd {
	_ = os.RemoveAll(out)
	args = append([]string{verb, "-q", "--cache-dir", p.cache, "--apt-mirror", p.url(suite), "-o", "oci:" + out}, args...)
	return exec.CommandContext(ctx, b.inlay, args...) //nolint:gosec // the user's own
}

func (b *bench) bootstrap(ctx context.Context, p *packages, args ...string) *exec.Cmd {
	return b.command(ctx, p, "bootstrap", p.parent, append(args, "--keyring", keyring, suite)...)
}

// stages are how much a builder has kept.
var stages = []struct {
	name string
	args []string
}{
	{"cold", nil},
	{"made anew, packages unpacked before", []string{"--no-cache", "--refresh"}},
	{"no change", nil},
}

// compareBootstrap makes a root of Debian with inlay and with mmdebstrap.
// The latter keeps nothing: its figure is one, and stands beside all of inlay's.
func (b *bench) compareBootstrap(ctx context.Context, p *packages) error {
	var f figures
	for range b.runs {
		if err := recreate(p.cache); err != nil {
			return err
		}
		for _, s := range stages {
			u, err := p.measure(ctx, b, b.bootstrap(ctx, p, s.args...))
			if err != nil {
				return err
			}
			f.add(s.name, "inlay", u)
		}
		b.compareRoots(ctx, p, &f)
	}
	fmt.Fprintf(p.report, "\n### a root of %s: essential packages and apt\n\n%s. ", suite, often(b.runs))
	fmt.Fprintln(p.report, "inlay makes an image with compressed layers, mmdebstrap a tar, or one compressed as a layer is; the latter keeps nothing between builds, so its figures are the same for all.")
	fmt.Fprintln(p.report)
	f.write(p.report)
	return nil
}

// compareRoots adds what mmdebstrap takes, for each form of what it makes.
func (b *bench) compareRoots(ctx context.Context, p *packages, f *figures) {
	command, err := p.mmdebstrap(ctx)
	for _, form := range []string{"tar", "tar.gz"} {
		var u usage
		if err == nil {
			u, err = p.measure(ctx, b, command(filepath.Join(p.work, "root."+form)))
		}
		if err != nil {
			b.note("mmdebstrap is left out: %v", err)
			return
		}
		for _, s := range stages {
			f.add(s.name, "mmdebstrap, "+form, u)
		}
	}
}

// mmdebstrap prepares to make a tar of the same packages. Its command makes one in
// the form of its extension.
func (p *packages) mmdebstrap(ctx context.Context) (command func(out string, args ...string) *exec.Cmd, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("it is measured as root")
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return nil, err
	}
	sources := filepath.Join(p.work, "debian.sources")
	if err := os.WriteFile(sources, []byte(p.sources()), 0o644); err != nil { //nolint:gosec // for everybody
		return nil, err
	}
	command = func(out string, args ...string) *exec.Cmd {
		args = append(args, "--variant=apt", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", suite, out, sources)
		return loopback(exec.CommandContext(ctx, "mmdebstrap", args...)) //nolint:gosec // our own
	}
	if out, err := command(filepath.Join(p.work, "root.tar"), "--simulate").CombinedOutput(); err != nil { // the indexes come to this machine
		return nil, fmt.Errorf("%w\n%s", err, tail(out))
	}
	return command, nil
}

// loopback keeps proxies out of the way to the mirror.
func loopback(cmd *exec.Cmd) *exec.Cmd {
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "no_proxy=127.0.0.1")
	return cmd
}

// debs says what inlay's plan for these packages holds, and brings it to this
// machine.
func (b *bench) debs(ctx context.Context, p *packages, asked []string) (string, error) {
	args := append([]string{"plan", "-q", "--format", "json", "--cache-dir", p.cache, "--apt-mirror", p.url(suite), "--parent-image", "oci:" + p.parent},
		named(asked)...)
	cmd := exec.CommandContext(ctx, b.inlay, append(args, p.project())...) //nolint:gosec // the user's own
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("resolving: %w\n%s", err, tail(stderr.Bytes()))
	}
	made, err := plan.Decode(bytes.NewReader(out))
	if err != nil {
		return "", err
	}
	var n, size int64
	for _, s := range made.Image().Steps {
		if s.Apt == nil || s.Apt.Part {
			continue
		}
		for _, d := range s.Apt.Debs {
			n++
			size += d.Size
			if err := download(ctx, d.URL); err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("%d packages, %d MB", n, size/1e6), nil
}

func download(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // the mirror
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing depends on it
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("downloading %s: %s", url, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func named(packages []string) (args []string) {
	for _, name := range packages {
		args = append(args, "--apt-package", name)
	}
	return args
}

// project is a directory without source.
func (p *packages) project() string { return filepath.Join(p.work, "project") }
