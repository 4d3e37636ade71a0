// SPDX-License-Identifier: Apache-2.0

// Package sdist builds wheels of source distributions (PEP 517): isolated, over
// the image that the wheel is for and with its Python. The code of the package
// and of what it needs to be built sees the image, the sources and the package
// indexes, without their credentials, and hosts that the user allowed; nothing
// else. It can leave nothing but the wheel.
package sdist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inlay/cache/disk"
	"inlay/layers/pattern"
	"inlay/resolve/egress"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/python"
	"inlay/resolve/python/reqfile"
	"inlay/resolve/sandbox"
)

// A Sandbox runs commands isolated; *sandbox.Rung is one.
type Sandbox interface {
	Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error)
	Remove(ctx context.Context, dirs ...string) error
}

// A Builder builds wheels. Several goroutines may use it.
type Builder struct {
	// Open finds a sandbox, and the directories of the layers of an image, the
	// topmost first, for it.
	Open func(ctx context.Context, of *parent.Inventory) (Sandbox, []string, error)
	// UV finds a uv that runs in the image: python.FindBuildUV does.
	UV func(ctx context.Context, of *parent.Inventory) (python.UV, error)
	// Runner asks it for its own index, where no other is named.
	Runner python.Runner
	// Temp is a directory for what lives as long as a build, on a disk.
	Temp string
	// Files keeps what is fetched, by sha256; a directory.
	Files string
	// Outside says what may be reached beside the indexes.
	Outside egress.Options
}

// Where a build has its things in the image. None of it is in a layer.
const (
	home      = "/.inlay"
	uvPath    = home + "/uv"
	sourceDir = home + "/source"
	workDir   = home + "/work" // which it may write to
)

// Command is the command that builds sources of that file name.
func (b *Builder) Command(file string) string { return "uv build --wheel " + file }

// Build makes the wheel of x in the directory out.
func (b *Builder) Build(ctx context.Context, x python.Build, out string) (asked string, err error) {
	box, lower, err := b.Open(ctx, x.Inventory)
	var none *sandbox.NoRungError
	if errors.As(err, &none) {
		return "", &python.NoBuildError{Err: err}
	}
	if err != nil {
		return "", err
	}
	uv, err := b.UV(ctx, x.Inventory)
	if err != nil {
		return "", err
	}
	dir, drop, err := disk.Scratch(ctx, b.Temp)
	if err != nil {
		return "", err
	}
	defer drop()
	defer func() {
		err = errors.Join(err, box.Remove(context.WithoutCancel(ctx), filepath.Join(dir, "root"), filepath.Join(dir, "work")))
	}()
	set := x.Index
	if !x.Only {
		if set, err = python.WithOwnIndex(ctx, b.Runner, uv, x.Index); err != nil {
			return "", err
		}
	}
	net, err := egress.Open(ctx, b.Outside, set, b.Files)
	if err != nil {
		return "", err
	}
	defer net.Close()
	c, log := command(net, x)
	c.Root = sandbox.Root{Lower: lower, Scratch: filepath.Join(dir, "root")}
	c.Mounts = []sandbox.Mount{{Target: uvPath, Source: uv.Path}, {Target: sourceDir, Source: filepath.Join(dir, "source")}}
	for i, d := range x.Links {
		c.Mounts = append(c.Mounts, sandbox.Mount{Target: linkDir(i), Source: d})
	}
	if err := lay(filepath.Join(dir, "source"), x); err != nil {
		return "", err
	}
	if err := unpack(ctx, box, x, &c); err != nil {
		return "", err
	}
	r, err := box.Run(ctx, c)
	if err != nil {
		return "", foreign(x.Inventory, err)
	}
	if r.Exit != 0 {
		return "", foreign(x.Inventory, failure(r, log.tail(x.Index), net.Refused()))
	}
	return told(net.Requests()), collect(ctx, box, c, out)
}

// lay copies the sources into a directory of their own, under their name.
func lay(dir string, x python.Build) error {
	if filepath.Base(x.File) != x.File || !filepath.IsLocal(x.File) {
		return fmt.Errorf("%q is no file name", x.File)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, x.File), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, x.Source)
	if err = errors.Join(err, f.Close()); err != nil || len(x.Constraints) == 0 {
		return err
	}
	bounds, err := os.OpenFile(filepath.Join(dir, constraints), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(bounds, strings.Join(x.Constraints, "\n")+"\n")
	return errors.Join(err, bounds.Close())
}

// constraints is a file beside the sources.
const constraints = "build-constraints.txt"

// command returns the command that builds x with that network.
func command(n *egress.Network, x python.Build) (sandbox.Command, *log) {
	args := []string{"build", "--wheel", "--no-config", "--python", x.Inventory.Python.Interpreter, "--out-dir", workDir + "/out"}
	if len(x.Constraints) > 0 {
		args = append(args, "--build-constraint", sourceDir+"/"+constraints)
	}
	for i := range x.Links {
		args = append(args, "--find-links", linkDir(i))
	}
	if x.Only {
		args = append(args, "--no-index")
	}
	out := &log{}
	c := sandbox.Command{
		Path: uvPath, Args: slices.Concat(args, x.Arguments, []string{sourceDir + "/" + x.File}),
		Dir: workDir, Env: environment(x.Inventory.Config.Config.Env, n.Env),
		Stdout: out, Stderr: out,
		Limits: sandbox.BuildLimits(),
	}
	for _, p := range n.Ports {
		c.Ports = append(c.Ports, sandbox.Port(p))
	}
	return c, out
}

// linkDir is where a directory of wheels is inside.
func linkDir(i int) string { return fmt.Sprintf("%s/links/%d", home, i) }

// configures matches the variables of an image that would tell uv, pip or a
// build other things than the user has.
var configures = pattern.New(`^(?i:(?:UV|PIP)_\w+|(?:HTTPS?|ALL|NO)_PROXY|TMPDIR|HOME|PYTHONPATH|VIRTUAL_ENV|SOURCE_DATE_EPOCH)=`)

// environment is that of a build: the image's, and how the network is reached.
// The files in a zip can't be older than 1980.
func environment(image, network []string) []string {
	env := slices.DeleteFunc(slices.Clone(image), func(kv string) bool { return configures().MatchString(kv) })
	if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") }) {
		env = append(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return slices.Concat(env, []string{
		"HOME=" + workDir, "UV_CACHE_DIR=" + workDir + "/cache", "UV_PYTHON_DOWNLOADS=never", "UV_NO_PROGRESS=1", "NO_COLOR=1",
		"PYTHONHASHSEED=0", "SOURCE_DATE_EPOCH=315532800",
	}, network)
}

// log keeps the end of what a build says.
type log struct{ kept []byte }

// maxTail is how much of that is kept, and shown at most.
const (
	maxTail  = 64 << 10
	maxLines = 12
)

func (l *log) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p...)
	if len(l.kept) > 2*maxTail {
		l.kept = append(l.kept[:0], l.kept[len(l.kept)-maxTail:]...)
	}
	return len(p), nil
}

// tail returns the last lines, without credentials.
func (l *log) tail(set *index.Set) string {
	var lines []string
	for line := range strings.Lines(string(l.kept)) {
		if line = strings.TrimRight(line, " \r\n"); strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	lines = lines[max(0, len(lines)-maxLines):]
	return reqfile.Redact(reqfile.Hide(strings.Join(lines, "\n"), set.Hidden()))
}

// failure says what went wrong in a build.
func failure(r sandbox.Result, said string, refused error) error {
	err := fmt.Errorf("exit code %d\n%s", r.Exit, said)
	if refused != nil {
		return fmt.Errorf("%w\n%w", err, refused)
	}
	return err
}
