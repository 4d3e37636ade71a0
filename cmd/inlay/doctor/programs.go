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
			return m.program(ctx, "python3", "install Python 3 where inlay shall fetch uv itself, without --index-url", "--version")
		}},
		{"pip", func(ctx context.Context) []Finding {
			return m.program(ctx, "pip3", "install pip where inlay shall fetch uv itself, without --index-url", "--version")
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

// Engines checks which container engines answer. Builds need none.
func (m Machine) Engines() Check {
	engines := []struct {
		name string
		args []string
		fix  string
	}{
		{"docker", []string{"version", "--format", "{{.Server.Version}}"}, "start the daemon, or ask to be let in, to run images with docker"},
		{"podman", []string{"info", "--format", "{{.Version.Version}}"}, "see what `podman info` says, to run images with podman"},
		{"nerdctl", []string{"version", "--format", "{{(index .Server.Components 0).Version}}"}, "start containerd, to run images with nerdctl"},
	}
	return Check{"engine", func(ctx context.Context) []Finding {
		var found []Finding
		for _, e := range engines {
			path, err := m.LookPath(e.name)
			if err != nil {
				continue
			}
			out, err := m.Output(ctx, path, e.args...)
			if err != nil {
				found = append(found, Finding{Status: Note, Found: fmt.Sprintf("%s doesn't answer: %v", e.name, err), Fix: e.fix})
				continue
			}
			found = append(found, Finding{Status: OK, Found: fmt.Sprintf("%s %s answers (%s)", e.name, firstLine(out), path)})
		}
		if found == nil {
			return One(Note, "there is neither docker, podman nor nerdctl: none is needed to build", "install one to run images on this machine")
		}
		return found
	}}
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
