// SPDX-License-Identifier: Apache-2.0

// Package cell runs uv and pip isolated, over this machine's own programs and
// libraries. They see these, what a resolution is made of, and their own cache;
// of it they can write the cache and what a resolution leaves. They reach package
// indexes, without the credentials, and the files that requirements name, and
// nothing else of this machine or of the network. So whatever a page, a wheel or
// an archive makes of them, it gets no further.
package cell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/egress"
	"inlay/resolve/index"
	"inlay/resolve/python"
	"inlay/resolve/sandbox"
)

// A Sandbox runs commands isolated; *sandbox.Rung is one.
type Sandbox interface {
	Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error)
}

// An Isolation opens cells in a sandbox.
type Isolation struct {
	// Open finds a sandbox. It is called once for each resolution.
	Open func(ctx context.Context) (Sandbox, error)
	// Without, if it is set, is told why there is none, and installers run as they
	// are. If it is nil that is an error.
	Without func(error)
	// Files keeps what is fetched, by sha256; a directory.
	Files string
	// Outside says what may be reached beside indexes.
	Outside egress.Options
}

// Works reports whether there is a sandbox.
func (i *Isolation) Works(ctx context.Context) (bool, error) {
	_, err := i.Open(ctx)
	var none *sandbox.NoRungError
	if errors.As(err, &none) && i.Without != nil {
		i.Without(err)
		return false, nil
	}
	return err == nil, err
}

// Enter opens a cell.
func (i *Isolation) Enter(ctx context.Context, n python.Needs) (python.Cell, error) {
	box, err := i.Open(ctx)
	if err != nil {
		return nil, err
	}
	o := i.Outside
	o.Ranges = true
	net, err := egress.Open(ctx, o, n.Index, i.Files)
	if err != nil {
		return nil, err
	}
	c := &cell{box: box, net: net, index: n.Index, inside: map[string]string{}, offline: n.Offline}
	for _, raw := range n.URLs {
		if c.inside[raw], err = net.File(raw); err != nil {
			net.Close()
			return nil, err
		}
	}
	for _, raw := range n.Pages {
		if c.inside[raw], err = net.Page(raw); err != nil {
			net.Close()
			return nil, err
		}
	}
	if n.Torch != "" && !n.Offline {
		if err := net.Study(ctx, n.Torch, "torch"); err != nil {
			net.Close()
			return nil, err
		}
	}
	c.mounts = mounts(n)
	c.env = slices.Concat(pick(n.Env), []string{"HOME=" + home}, net.Env)
	return c, nil
}

// home is a directory that nothing is in.
const home = "/tmp"

// outer matches the variables that mean something of this machine, or of its
// network, which the cell doesn't have. Authorities it has: what no index is
// told of by inlay, such as uv's own of torch, is reached by the proxy, and TLS
// ends in the cell.
var outer = pattern.New(`^(?:HOME|USER|NETRC|XDG_\w+|PYENV_\w+|(?i:(?:https?|all|no)_proxy)|SSL_CLIENT_CERT|REQUESTS_CA_BUNDLE|PIP_(?:CERT|CLIENT_CERT|PROXY|TRUSTED_HOST))=`)

func pick(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return outer().MatchString(kv) })
}

// authorities returns where the certificates of authorities are that env names.
func authorities(env []string) (paths []string) {
	for _, kv := range env {
		name, p, _ := strings.Cut(kv, "=")
		if _, err := os.Stat(p); err == nil && filepath.IsAbs(p) && (name == "SSL_CERT_FILE" || name == "SSL_CERT_DIR") {
			paths = append(paths, p)
		}
	}
	return paths
}

// mounts are what the cell has of this machine: its tools, and what n names
// beside them.
func mounts(n python.Needs) []sandbox.Mount {
	all := append(sandbox.HostTools(), sandbox.Mount{Target: home, Tmpfs: true, Size: 64 << 20})
	for _, p := range withLinks(slices.Concat(n.Read, authorities(n.Env))) {
		if !slices.ContainsFunc(all, func(m sandbox.Mount) bool { return m.Source != "" && within(p, m.Target) }) {
			all = append(all, sandbox.Mount{Target: p, Source: real(p)})
		}
	}
	for _, p := range n.Write {
		all = append(all, sandbox.Mount{Target: p, Source: p, Writable: true})
	}
	return all
}

// withLinks returns paths and what links in them lead to, one link at a time,
// parents first: the program of a virtual environment is a link to another
// Python's, and that may lie behind a link of a directory, whose library its
// loader knows by where it is.
func withLinks(paths []string) []string {
	var all []string
	for queue := slices.Clone(paths); len(queue) > 0; queue = queue[1:] {
		p := filepath.Clean(queue[0])
		if slices.Contains(all, p) {
			continue
		}
		all = append(all, p)
		if _, err := os.Stat(p); err != nil {
			continue // else a link to what is in itself would have no end
		}
		if to, ok := follow(p); ok {
			queue = append(queue, to)
		}
	}
	slices.Sort(all)
	return all
}

// follow returns p with the first link in it followed.
func follow(p string) (string, bool) {
	for i := 1; i <= len(p); i++ {
		if i < len(p) && p[i] != filepath.Separator {
			continue
		}
		if to, err := os.Readlink(p[:i]); err == nil {
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(p[:i]), to)
			}
			return filepath.Join(to, p[i:]), true
		}
	}
	return "", false
}

func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, dir+string(filepath.Separator))
}

// real returns what a path leads to.
func real(p string) string {
	if to, err := filepath.EvalSymlinks(p); err == nil {
		return to
	}
	return p
}

// A cell is a python.Cell.
type cell struct {
	box     Sandbox
	net     *egress.Network
	index   *index.Set
	inside  map[string]string // URLs of files
	mounts  []sandbox.Mount
	env     []string
	offline bool
}

// Env implements python.Cell.
func (c *cell) Env() []string { return c.env }

// Inside implements python.Cell.
func (c *cell) Inside(url string) string {
	if in, ok := c.inside[url]; ok {
		return in
	}
	return url
}

// Outside implements python.Cell.
func (c *cell) Outside(text string) string { return egress.Outside(text) }

// Listed implements python.Cell.
func (c *cell) Listed(files []string) map[string]python.Listed {
	all := map[string]python.Listed{}
	for name, l := range c.net.Listed(files) {
		all[name] = python.Listed(l)
	}
	return all
}

// Refused implements python.Cell.
func (c *cell) Refused() error { return c.net.Refused() }

// Close implements python.Cell.
func (c *cell) Close() { c.net.Close() }

// Run implements python.Runner.
func (c *cell) Run(ctx context.Context, x python.Command) (int, error) {
	out, said := &lines{to: x.Stdout}, &lines{to: x.Stderr}
	if x.Stderr == x.Stdout {
		said = out
	}
	run := sandbox.Command{
		Path: x.Path, Args: x.Args, Dir: x.Dir, Env: x.Env, Mounts: c.mounts, Stdout: out, Stderr: said, Limits: sandbox.BuildLimits(),
	}
	if !c.offline {
		for _, p := range c.net.Ports {
			run.Ports = append(run.Ports, sandbox.Port(p))
		}
	}
	r, err := c.box.Run(ctx, run)
	if err == nil {
		err = errors.Join(out.flush(), said.flush())
	}
	return r.Exit, err
}

// lines writes whole lines, with URLs as they are outside.
type lines struct {
	to   io.Writer
	part []byte
}

// maxPart is how much of a line is held back.
const maxPart = 1 << 20

func (l *lines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	end := bytes.LastIndexByte(l.part, '\n') + 1
	if end == 0 && len(l.part) > maxPart {
		end = len(l.part)
	}
	if end > 0 {
		if err := l.write(l.part[:end]); err != nil {
			return 0, err
		}
		l.part = append(l.part[:0], l.part[end:]...)
	}
	return len(p), nil
}

func (l *lines) flush() error {
	err := l.write(l.part)
	l.part = nil
	return err
}

func (l *lines) write(b []byte) error {
	if l.to == nil || len(b) == 0 {
		return nil
	}
	_, err := io.WriteString(l.to, egress.Outside(string(b)))
	return err
}

// Try tells why a sandbox can't have a directory of this machine that what runs
// in it may write to, as a cell has some. That can only be where this process is
// root, and files have to be shown as another's.
func Try(ctx context.Context, box Sandbox, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	_, err := box.Run(ctx, sandbox.Command{Path: home + "/nothing", Mounts: []sandbox.Mount{{Target: home, Source: dir, Writable: true}}})
	var start *sandbox.StartError
	if errors.As(err, &start) { // which comes last
		return nil
	}
	return err
}
