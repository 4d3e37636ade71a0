// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"fmt"
	"regexp"
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
// tested version. If none has, that Python runs a pinned pip, which was fetched
// before or is fetched now, and is never run before its sha256 was checked. If
// there is no way to run one the error is a *NoPipError.
func FindPip(ctx context.Context, o FindOptions) (Pip, error) {
	var tried []string
	able := ""
	for _, name := range []string{"python3", "python"} {
		p, reason := o.hostPip(ctx, name)
		if err := ctx.Err(); err != nil {
			return Pip{}, fmt.Errorf("looking for pip: %w", err)
		}
		if reason == "" {
			return p, nil
		}
		tried = append(tried, reason)
		if able == "" {
			able = p.Python
		}
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
func (o FindOptions) hostPip(ctx context.Context, name string) (Pip, string) {
	program, err := o.LookPath(name)
	if err != nil {
		return Pip{}, name + " is not on the PATH"
	}
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
