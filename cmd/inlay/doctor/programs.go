// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Programs checks the programs that some builds call.
func (m Machine) Programs() []Check {
	return []Check{
		{"python", func(ctx context.Context) []Finding {
			return m.program(ctx, "python3", "install Python 3.10 or newer for --installer pip", "--version")
		}},
		{"pip", func(ctx context.Context) []Finding {
			return m.program(ctx, "pip3", "install pip where inlay shall fetch uv or pip itself, without --index-url", "--version")
		}},
		{"git", func(ctx context.Context) []Finding {
			return m.program(ctx, "git", "install git for requirements that begin with git+", "--version")
		}},
		{"keyring", func(ctx context.Context) []Finding {
			return m.program(ctx, "keyring", "install keyring if it is where you keep the passwords of package indexes", "--version")
		}},
	}
}

// program says whether a program is there and runs. Nothing here is needed by
// every build.
func (m Machine) program(ctx context.Context, name, fix string, args ...string) []Finding {
	path, err := m.LookPath(name)
	if err != nil {
		return One(Note, name+" is not on the PATH", fix)
	}
	out, err := m.Output(ctx, path, args...)
	if err != nil {
		return One(Note, err.Error(), "repair or remove "+path)
	}
	return One(OK, fmt.Sprintf("%s (%s)", firstLine(out), path), "")
}

// Engines checks which container engines answer, those of --output engine.
// Builds need none.
func (m Machine) Engines() Check {
	engines := []struct {
		name    string
		program string
		args    []string
		fix     string
	}{
		{"docker", "docker", []string{"version", "--format", "{{.Server.Version}}"}, "start the daemon, or ask to be let in, for --output engine:docker"},
		{"podman", "podman", []string{"info", "--format", "{{.Version.Version}}"}, "see what `podman info` says, for --output engine:podman"},
		{"containerd", "ctr", []string{"--connect-timeout", "3s", "version"}, "start containerd, or ask to be let in, for --output engine:containerd"},
	}
	return Check{"engine", func(ctx context.Context) []Finding {
		var found []Finding
		for _, e := range engines {
			path, err := m.LookPath(e.program)
			if err != nil {
				continue
			}
			out, err := m.Output(ctx, path, e.args...)
			if err != nil {
				found = append(found, Finding{Status: Note, Found: fmt.Sprintf("%s doesn't answer: %v", e.name, err), Fix: e.fix})
				continue
			}
			found = append(found, Finding{Status: OK, Found: fmt.Sprintf("%s %s answers (%s)", e.name, serverVersion(out), path)})
		}
		if found == nil {
			return One(Note, "there is neither docker, podman nor containerd: none is needed to build", "install one for --output engine, or to run images on this machine")
		}
		return found
	}}
}

// serverVersion returns the version in what an engine's program printed: alone
// in the first line, or, as ctr does, named, after the program's own.
func serverVersion(out string) string {
	version := firstLine(out)
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Version:"); ok {
			version = strings.TrimSpace(v)
		}
	}
	return version
}

// Emulation says for which foreign platforms the kernel runs programs.
func (m Machine) Emulation() Check {
	return Check{"platforms", func(context.Context) []Finding {
		entries, err := os.ReadDir(filepath.Join(m.Root, "proc/sys/fs/binfmt_misc"))
		var names []string
		for _, e := range entries {
			if name, ok := strings.CutPrefix(e.Name(), "qemu-"); ok {
				names = append(names, name)
			}
		}
		if err != nil || len(names) == 0 {
			return One(Note, "the kernel runs programs of this platform only: building for others needs no more", "install qemu-user-static and binfmt-support to run images for other platforms")
		}
		return One(OK, "the kernel runs programs for "+strings.Join(names, ", ")+" too", "")
	}}
}

// firstLine returns the first line of what a program printed.
func firstLine(out string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	return strings.TrimSpace(line)
}
