// SPDX-License-Identifier: Apache-2.0

package sdist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"inlay/resolve/egress"
	"inlay/resolve/parent"
	"inlay/resolve/sandbox"
)

// sendWheel prints the name of the only wheel, and its content. The Python that
// it was built with runs it: an image need not have anything else.
const sendWheel = `import os, shutil, sys
out = sys.argv[1]
names = [n for n in os.listdir(out) if n.endswith(".whl")]
if len(names) != 1:
    sys.exit("%d wheels were made" % len(names))
with open(os.path.join(out, names[0]), "rb") as f:
    sys.stdout.buffer.write(names[0].encode() + b"\n")
    shutil.copyfileobj(f, sys.stdout.buffer)
`

// maxWheel bounds a wheel, in bytes.
const maxWheel = 8 << 30

// collect takes the wheel that c has built out of its root, into the directory
// out. What is in that root is the work of the package's code: it comes out as a
// stream, and its name is checked.
func collect(ctx context.Context, box Sandbox, c sandbox.Command, out string) error {
	f, err := os.OpenFile(filepath.Join(out, "wheel.part"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	to, said := &receiver{to: f}, &log{}
	c.Path, c.Args = interpreter(c), []string{"-I", "-c", sendWheel, workDir + "/out"}
	c.Ports, c.Stdout, c.Stderr = nil, to, said
	r, err := box.Run(ctx, c)
	switch {
	case err != nil:
		return err
	case r.Exit != 0:
		return errors.New(strings.TrimSpace(string(said.kept)))
	case to.err != nil:
		return to.err
	}
	name := string(to.name)
	if filepath.Base(name) != name || !strings.HasSuffix(name, ".whl") || !filepath.IsLocal(name) {
		return fmt.Errorf("%q is no name of a wheel", name)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(out, name))
}

// interpreter is the Python that c builds with.
func interpreter(c sandbox.Command) string {
	for i, a := range c.Args {
		if a == "--python" {
			return c.Args[i+1]
		}
	}
	return "python3"
}

// A receiver takes a line with a name, and a content.
type receiver struct {
	name []byte
	body bool
	n    int64
	to   io.Writer
	err  error
}

const maxName = 255

func (r *receiver) Write(p []byte) (int, error) {
	n := len(p)
	for !r.body && len(p) > 0 {
		r.body = p[0] == '\n'
		if !r.body {
			r.name = append(r.name, p[0])
		}
		p = p[1:]
	}
	r.n += int64(len(p))
	switch {
	case len(r.name) > maxName:
		r.err = errors.New("the name of the wheel is too long")
	case r.n > maxWheel:
		r.err = fmt.Errorf("the wheel is larger than %d bytes", int64(maxWheel))
	case r.err == nil:
		_, r.err = r.to.Write(p)
	}
	return n, r.err
}

// A ForeignError reports a build over an image for another machine than this,
// whose programs don't run here.
type ForeignError struct {
	Platform string
	Err      error
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the Python of the image is for %s, and doesn't run on this machine: %v", e.Platform, e.Err)
}

// Unwrap returns what the build said.
func (e *ForeignError) Unwrap() error { return e.Err }

// Hint says how to run it, or do without.
func (e *ForeignError) Hint() string {
	return "set up binfmt_misc with qemu-user-static for " + e.Platform + ", build on such a machine, or require versions that have wheels"
}

// foreign returns err, the failure of a build, as a *ForeignError if that is the
// reason.
func foreign(inv *parent.Inventory, err error) error {
	if own := "linux/" + runtime.GOARCH; inv.Platform == own || strings.HasPrefix(inv.Platform, own+"/") {
		return err
	}
	var start *sandbox.StartError
	// os error 8 is ENOEXEC, 2 that of an emulator that isn't in the sandbox.
	if errors.As(err, &start) || strings.Contains(err.Error(), "os error 8") || strings.Contains(err.Error(), "os error 2") {
		return &ForeignError{Platform: inv.Platform, Err: err}
	}
	return err
}

// told says for people which hosts were asked.
func told(all []egress.Record) string {
	var hosts []string
	for _, r := range all {
		hosts = append(hosts, r.String())
	}
	if len(hosts) == 0 {
		return "no host"
	}
	return strings.Join(hosts, ", ")
}
