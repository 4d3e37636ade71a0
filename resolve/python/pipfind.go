// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"inlay/layers/pattern"
)

// The pip versions that this package was tested with: what target.py replaces
// in pip is no interface that pip promises. Older ones download every wheel to
// say what they would install.
const (
	oldestPip = "25.3"
	newestPip = "26.3" // and its patch releases
	pinnedPip = "26.3"
	oldestFor = "3.10" // the first Python that pinnedPip runs on
)

// pipWheel is the pinned pip.
var pipWheel = Tool{
	Name: "pip", Version: pinnedPip, File: "pip-26.3-py3-none-any.whl",
	Digest: "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13",
}

// A Pip is a pip and the Python of this machine that runs it.
type Pip struct {
	Python  string // the interpreter
	Wheel   string // of pip, to be run as it is; "" if the interpreter has the pip installed
	Version string // "26.3"
}

// FindPip returns the pip of the first Python on the PATH that has one of a
// tested version. If none has, the first that is able to runs a pinned pip, which was fetched
// before or is fetched now, and is never run before its sha256 was checked. If
// there is no way to run one the error is a *NoPipError.
func FindPip(ctx context.Context, o FindOptions) (Pip, error) {
	var tried, seen []string
	able := ""
	for i, name := range slices.Concat(pythons, o.otherPythons()) {
		program, err := o.LookPath(name)
		switch {
		case i >= len(pythons) && (err != nil || able != "") || err == nil && slices.Contains(seen, program):
			continue
		case err != nil:
			tried = append(tried, absent(name, err))
			continue
		}
		seen = append(seen, program)
		p, reason := o.hostPip(ctx, program)
		if err := ctx.Err(); err != nil {
			return Pip{}, fmt.Errorf("looking for pip: %w", err)
		}
		if reason == "" {
			return p, nil
		}
		tried = append(tried, reason)
		able = cmp.Or(able, p.Python)
	}
	if able == "" {
		return Pip{}, &NoPipError{Tried: tried}
	}
	wheel, failed, err := o.Fetch(ctx, pipWheel)
	if err != nil {
		return Pip{}, err
	}
	if wheel == nil {
		return Pip{}, &NoPipError{Tried: append(tried, failed...), Python: able}
	}
	return Pip{Python: able, Wheel: wheel.Name(), Version: pinnedPip}, wheel.Close()
}

// pythons are the names of Python that mean the one of the user's choice.
var pythons = []string{"python3", "python"}

// otherPythons are those to fall back on where that one can run no pip: what it
// hides further on the PATH, and those whose names tell their versions.
func (o FindOptions) otherPythons() (names []string) {
	for _, kv := range o.Env {
		if list, ok := strings.CutPrefix(kv, "PATH="); ok {
			for _, dir := range filepath.SplitList(list) {
				if filepath.IsAbs(dir) {
					names = append(names, filepath.Join(dir, "python3"))
				}
			}
		}
	}
	for minor := 15; minor >= 10; minor-- {
		names = append(names, fmt.Sprintf("python3.%d", minor))
	}
	return names
}

// absent says that a program was not found.
func absent(name string, err error) string {
	var found *exec.Error
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return name + " is not on the PATH"
	case errors.As(err, &found):
		return found.Err.Error()
	default:
		return err.Error()
	}
}

// askVersions prints the versions of a Python and of its pip.
const askVersions = `import sys
try:
    import pip
    version = pip.__version__
except Exception:
    version = "-"
print("inlay %d.%d.%d %s" % (sys.version_info[:3] + (version,)))`

var versionsLine = pattern.New(`(?m)^inlay (\d+\.\d+\.\d+) (\S+)$`)

// hostPip returns the pip of a Python on the PATH, or why it can't be used. The
// Python is set even then if it can run the pinned pip.
func (o FindOptions) hostPip(ctx context.Context, program string) (Pip, string) {
	out := &logWriter{}
	exit, err := o.Runner.Run(ctx, Command{
		Path: program, Args: []string{"-I", "-B", "-c", askVersions}, Env: pick(o.Env, hostPythonEnv()), Stdout: out, Stderr: &logWriter{},
	})
	m := versionsLine().FindStringSubmatch(out.String())
	if err != nil || exit != 0 || m == nil {
		return Pip{}, program + " doesn't tell its version"
	}
	p := Pip{Version: m[2]}
	if atLeast(m[1], oldestFor) {
		p.Python = program
	}
	switch {
	case regexp.MustCompile(`^\d+(\.\d+)+$`).MatchString(p.Version) && between(p.Version, oldestPip, newestPip):
		p.Python = program
		return p, ""
	case p.Version == "-":
		return p, fmt.Sprintf("%s (Python %s) has no pip", program, m[1])
	default:
		return p, fmt.Sprintf("%s (Python %s) has pip %s, which was not tested: %s to %s were", program, m[1], p.Version, oldestPip, pinnedPip)
	}
}

// A NoPipError reports that there is no pip to resolve with.
type NoPipError struct {
	Tried  []string // why each way to get one failed
	Python string   // that could run one, if there is one
}

func (e *NoPipError) Error() string {
	return "no pip to resolve requirements with: " + strings.Join(e.Tried, "; ")
}

// Hint says how to get along.
func (e *NoPipError) Hint() string {
	if e.Python == "" {
		return "pip needs a Python " + oldestFor + " or newer on this machine: install one, or use uv, which needs none, with `--installer uv`"
	}
	return "install pip " + oldestPip + " or newer, name a package index that has it with `--index-url URL`, or use uv with `--installer uv`"
}
