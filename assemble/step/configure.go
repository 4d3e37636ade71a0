// SPDX-License-Identifier: Apache-2.0

package step

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"inlay/assemble/dpkg"
	"inlay/layers"
	"inlay/resolve/plan"
	"inlay/resolve/sandbox"
)

// noServices is Debian's way to say that nothing is to be started: invoke-rc.d
// and deb-systemd-invoke ask it.
const noServices = "#!/bin/sh\nexit 101\n"

// oneOwner is said where scripts can give nothing away.
const oneOwner = "what the scripts in the sandbox gave to other users belongs to root: this machine has one id for it, see `inlay doctor`"

// configure has dpkg configure what the Apt step below left unpacked.
func (l *layer) configure(ctx context.Context, r plan.Run) error {
	names, err := l.unfinished(ctx)
	if err != nil || len(names) == 0 {
		return err
	}
	if err := l.command(ctx, r); err != nil {
		return fmt.Errorf("configuring %s: %w", some(names), err)
	}
	l.report = append([]string{"apt: configured in the sandbox: " + strings.Join(names, ", ")}, l.report...)
	return nil
}

// some names a few, and counts the others.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// unfinished returns the packages that the layer below says are not configured.
func (l *layer) unfinished(ctx context.Context) ([]string, error) {
	if len(l.tools.Below) == 0 {
		return nil, nil
	}
	r, err := l.tools.Below[len(l.tools.Below)-1].Compressed()
	if err != nil {
		return nil, fmt.Errorf("reading the layer below: %w", err)
	}
	defer r.Close() //nolint:errcheck // only read
	ix, err := layers.Scan(ctx, r, dpkg.KeepStatus)
	if err != nil {
		return nil, fmt.Errorf("reading the layer below: %w", err)
	}
	view, err := layers.Stack(ix)
	if err != nil {
		return nil, err
	}
	return dpkg.Unfinished(view)
}

// A lasting writer takes what configuring packages leaves but for what is another
// every time, or belongs to one machine, and which no program misses: what is
// interpreted leaves none of it either.
type lasting struct {
	sandbox.Writer
	epoch int64 // the time of what tells one
	gone  map[string]bool
}

// Add adds what stays.
func (w lasting) Add(e layers.Entry, body io.Reader) error {
	if passes(e) {
		w.gone[e.Path] = true
		if body == nil {
			return nil
		}
		_, err := io.Copy(io.Discard, body) // what comes next stands behind it
		return err
	}
	body, err := untimedBody(e, body, w.epoch)
	if err != nil {
		return fmt.Errorf("reading /%s: %w", e.Path, err)
	}
	return w.Writer.Add(e, body)
}

// Link adds another name of what stays.
func (w lasting) Link(e layers.Entry, target string) error {
	if passes(e) {
		return nil
	}
	if w.gone[target] {
		return fmt.Errorf("/%s is another name of /%s, which is not kept", e.Path, target)
	}
	return w.Writer.Link(e, target)
}

// Remove removes what would not pass by itself.
func (w lasting) Remove(p string) error {
	if passes(layers.Entry{Path: p, Size: 1}) {
		return nil
	}
	return w.Writer.Remove(p)
}

// passing are directories that are empty in an image, and cachesOf those whose
// files are made when they are used.
var (
	passing  = []string{"run/", "tmp/", "var/tmp/"}
	cachesOf = []string{"var/cache/apt/", "var/cache/ldconfig/", "var/cache/debconf/", "var/cache/man/", "var/cache/fontconfig/"}
)

// passingFiles are single files: backups, locks, and what one machine is known by.
var passingFiles = []string{
	"etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/subuid-", "etc/subgid-", "etc/machine-id", "var/lib/dbus/machine-id",
	"var/lib/dpkg/status-old", "var/lib/dpkg/diversions-old", "var/lib/dpkg/statoverride-old", "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend",
	"var/lib/dpkg/triggers/Lock", "var/lib/dpkg/triggers/Unincorp",
}

// passes reports whether e is not kept. Of logs the empty ones stay: a program may
// need them to be there, and its own.
func passes(e layers.Entry) bool {
	in := func(dirs []string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return strings.HasPrefix(e.Path, d) })
	}
	dir, base := path.Split(e.Path)
	switch {
	case in(passing), slices.Contains(passingFiles, e.Path):
		return true
	case base == "__pycache__", path.Base(dir) == "__pycache__", path.Ext(base) == ".pyc":
		return true
	case e.Mode.IsDir():
		return false
	case strings.HasPrefix(e.Path, "var/log/"):
		return e.Mode&fs.ModeType == 0 && e.Size > 0
	default:
		return in(cachesOf) || dir == "etc/ssh/" && strings.HasPrefix(base, "ssh_host_")
	}
}
