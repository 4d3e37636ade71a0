// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

const oneMore = "one package added to fifty"

// compareApt installs packages with inlay and with apt-get in a chroot of the
// same parent.
func (b *bench) compareApt(ctx context.Context, p *packages) error {
	if err := os.MkdirAll(p.project(), 0o755); err != nil { //nolint:gosec // a directory like any other
		return err
	}
	all, err := b.debs(ctx, p, many)
	if err != nil {
		return err
	}
	few, err := b.debs(ctx, p, append([]string{added}, fifty...))
	if err != nil {
		return err
	}
	var f figures
	for range b.runs {
		if err := b.inlayApt(ctx, p, &f); err != nil {
			return err
		}
		if err := b.chrootApt(ctx, p, &f); err != nil {
			b.note("apt-get is left out: %v", err)
		}
	}
	fmt.Fprintf(p.report, "\n### `%s`: %s\n\n%s.\n\n", strings.Join(many, " "), all, often(b.runs))
	fmt.Fprintf(p.report, "On a bare %s, with the lists of packages fetched anew where it isn't \"no change\". The last build adds `%s` to `%s`, which makes %s. ", suite, added, strings.Join(fifty, " "), few)
	fmt.Fprintln(p.report, "inlay makes an image with a compressed layer; `apt-get update` and `install` leave files in a tree that was unpacked before, which `tar` and `gzip` make a layer of. "+
		"They keep nothing between builds, so the figure is the same for all; \"anew\" is what a changed line of a Dockerfile costs.")
	fmt.Fprintln(p.report)
	f.write(p.report)
	return nil
}

func (b *bench) inlayApt(ctx context.Context, p *packages, f *figures) error {
	build := func(asked []string, args ...string) *exec.Cmd {
		args = append(append(args, "--parent-image", "oci:"+p.parent), named(asked)...)
		return b.command(ctx, p, "build", filepath.Join(p.work, "image"), append(args, p.project())...)
	}
	if err := recreate(p.cache); err != nil {
		return err
	}
	for _, s := range stages {
		u, err := p.measure(ctx, b, build(many, s.args...))
		if err != nil {
			return err
		}
		f.add(s.name, "inlay", u)
	}
	if out, err := build(fifty).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(out))
	}
	u, err := p.measure(ctx, b, build(append([]string{added}, fifty...)))
	if err != nil {
		return err
	}
	f.add(oneMore, "inlay", u)
	return nil
}

func (b *bench) chrootApt(ctx context.Context, p *packages, f *figures) error {
	if os.Geteuid() != 0 {
		return errors.New("chroot takes root")
	}
	if err := p.unpack(ctx); err != nil {
		return err
	}
	if out, err := p.chroot(ctx, "apt-get update").CombinedOutput(); err != nil { // the lists come to this machine
		return fmt.Errorf("%w\n%s", err, tail(out))
	}
	all, err := p.aptGet(ctx, b, true, many)
	if err != nil {
		return err
	}
	layer, err := p.pack(ctx, b)
	if err != nil {
		return err
	}
	for _, s := range stages {
		f.add(s.name, "apt-get", all)
		f.add(s.name, "apt-get, tar and gzip", all.plus(layer))
	}
	few, err := p.aptGet(ctx, b, true, fifty)
	if err != nil {
		return err
	}
	one, err := p.aptGet(ctx, b, false, []string{added})
	if err != nil {
		return err
	}
	if layer, err = p.pack(ctx, b); err != nil {
		return err
	}
	f.add(oneMore, "apt-get, anew", few.plus(one))
	f.add(oneMore, "apt-get, anew, tar and gzip", few.plus(one).plus(layer))
	f.add(oneMore, "apt-get, into the tree of the fifty", one)
	return nil
}

// pack measures the making of a layer from what apt-get has changed, but for
// its lists and downloads.
func (p *packages) pack(ctx context.Context, b *bench) (usage, error) {
	return p.measure(ctx, b, exec.CommandContext(ctx, "tar", "-C", p.root, "-czf", filepath.Join(p.work, "layer.tar.gz"), //nolint:gosec // our own
		"--exclude=./var/cache/apt", "--exclude=./var/lib/apt/lists", "--newer="+p.stamp(), "."))
}

// stamp is a file that is newer than all of the parent's in the root.
func (p *packages) stamp() string { return filepath.Join(p.work, "stamp") }

// aptGet measures the installation of packages, in a new root or that of before.
// In a new one, apt fetches the lists too.
func (p *packages) aptGet(ctx context.Context, b *bench, anew bool, asked []string) (usage, error) {
	script := "apt-get install -y --no-install-recommends " + strings.Join(asked, " ")
	if anew {
		if err := p.unpack(ctx); err != nil {
			return usage{}, err
		}
		script = "apt-get update && " + script
	}
	return p.measure(ctx, b, p.chroot(ctx, script))
}

func (p *packages) chroot(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "chroot", p.root, "sh", "-c", script) //nolint:gosec // our own
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	return loopback(cmd)
}

// unpack makes a root of the parent, with the mirror as its archive.
func (p *packages) unpack(ctx context.Context) error {
	idx, err := layout.ImageIndexFromPath(p.parent)
	if err != nil {
		return err
	}
	m, err := idx.IndexManifest()
	if err != nil || len(m.Manifests) == 0 {
		return fmt.Errorf("%s holds no image: %w", p.parent, err)
	}
	img, err := idx.Image(m.Manifests[0].Digest)
	if err != nil {
		return err
	}
	if err := recreate(p.root); err != nil {
		return err
	}
	content := mutate.Extract(img)
	defer content.Close()                                            //nolint:errcheck // nothing depends on it
	tar := exec.CommandContext(ctx, "tar", "-C", p.root, "-xf", "-") //nolint:gosec // our own
	tar.Stdin = content
	if out, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("unpacking the parent: %w\n%s", err, tail(out))
	}
	sources := filepath.Join(p.root, "etc/apt/sources.list.d/debian.sources")
	if err := os.WriteFile(sources, []byte(p.sources()), 0o644); err != nil { //nolint:gosec // for everybody
		return err
	}
	for name, minor := range map[string]string{"null": "3", "zero": "5", "random": "8", "urandom": "9"} {
		device := filepath.Join(p.root, "dev", name)
		if out, err := exec.CommandContext(ctx, "mknod", "-m", "666", device, "c", "1", minor).CombinedOutput(); err != nil { //nolint:gosec // our own
			return fmt.Errorf("making %s: %w\n%s", device, err, out)
		}
	}
	return os.WriteFile(p.stamp(), nil, 0o600)
}
