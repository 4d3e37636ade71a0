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
	"time"
)

// A job is one build.
type job struct {
	dir    string // of the project
	parent string // reference
	target string // reference
	fresh  bool   // make everything anew, but use the downloads of before
}

// A tool builds and pushes images.
type tool interface {
	name() string
	// does reports whether the tool can do what a scenario asks for.
	does(s scenario) bool
	// forget throws away whatever the tool has kept.
	forget(ctx context.Context) error
	build(ctx context.Context, j job) (usage, error)
	close()
}

// tools returns the builders that are asked for and can work here.
func (b *bench) builders(ctx context.Context, dir string) (all []tool, err error) {
	for name := range strings.SplitSeq(b.tools, ",") {
		var t tool
		switch name {
		case "inlay":
			t = &inlay{bench: b, dir: filepath.Join(dir, name)}
		case "buildah":
			t, err = newBuildah(b, filepath.Join(dir, name))
		case "buildkit":
			t, err = newBuildKit(b, filepath.Join(dir, name))
		case "crane":
			t, err = newCrane(b, filepath.Join(dir, name))
		default:
			return nil, fmt.Errorf("no builder %q: there are inlay, buildah, buildkit, crane", name)
		}
		if err != nil {
			b.note("%s is left out: %v", name, err)
			continue
		}
		if err := t.forget(ctx); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func (b *bench) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintln(os.Stderr, "note:", text)
	for _, n := range b.notes {
		if n == text {
			return
		}
	}
	b.notes = append(b.notes, text)
}

func recreate(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755) //nolint:gosec // a directory like any other
}

type inlay struct {
	*bench
	dir string
}

func (t *inlay) does(scenario) bool           { return true }
func (t *inlay) name() string                 { return "inlay" }
func (t *inlay) forget(context.Context) error { return recreate(t.dir) }
func (t *inlay) close()                       {}

func (t *inlay) build(ctx context.Context, j job) (usage, error) {
	args := []string{
		"build", "-q", "--push", "-t", j.target, "--cache-dir", t.dir, "--parent-image", j.parent,
		"--requirements", filepath.Join(j.dir, "requirements.txt"), "--index-url", t.index.url(), "--set", anyTorch, j.dir,
	}
	if j.fresh {
		args = append(args, "--no-cache", "--refresh")
	}
	cmd := exec.CommandContext(ctx, t.inlay, args...) //nolint:gosec // the user's own
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(t.uv)+":"+os.Getenv("PATH"))
	return measure(ctx, cmd, 0)
}

type buildah struct {
	*bench
	dir string
}

func newBuildah(b *bench, dir string) (tool, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("it is measured as root")
	}
	_, err := exec.LookPath("buildah")
	return &buildah{b, dir}, err
}

func (t *buildah) does(scenario) bool { return true }
func (t *buildah) name() string       { return "buildah" }
func (t *buildah) close()             { _ = t.forget(context.Background()) }

func (t *buildah) forget(ctx context.Context) error {
	if _, err := os.Stat(t.dir); err == nil {
		_ = t.command(ctx, "rm", "--all").Run() // unmounts
	}
	if err := recreate(t.dir); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(t.dir, "tmp"), 0o755) //nolint:gosec // a directory like any other
}

func (t *buildah) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"--root", t.dir + "/root", "--runroot", t.dir + "/run", "--storage-driver", "overlay"}, args...)
	cmd := exec.CommandContext(ctx, "buildah", args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.dir+"/tmp") // where it keeps cache mounts
	return cmd
}

func (t *buildah) build(ctx context.Context, j job) (usage, error) {
	args := []string{
		"bud", "--isolation", "chroot", "--network", "host", "--layers", "--pull", "--tls-verify=false", "--format", "oci",
		"--build-arg", "PARENT=" + j.parent, "--build-arg", "INDEX=" + t.index.url(), "-t", j.target,
	}
	if j.fresh {
		args = append(args, "--no-cache")
	}
	made, err := measure(ctx, t.command(ctx, append(args, j.dir)...), 0)
	if err != nil {
		return made, err
	}
	sent, err := measure(ctx, t.command(ctx, "push", "--tls-verify=false", j.target), 0)
	return made.plus(sent), err
}

type buildkit struct {
	*bench
	dir              string
	server, buildctl string // programs
	daemon           *exec.Cmd
}

func newBuildKit(b *bench, dir string) (tool, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("it is measured as root")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		return nil, err
	}
	server, err := b.installed("buildkitd")
	if err != nil {
		return nil, err
	}
	client, err := b.installed("buildctl")
	return &buildkit{bench: b, dir: dir, server: server, buildctl: client}, err
}

func (t *buildkit) does(scenario) bool { return true }
func (t *buildkit) name() string       { return "BuildKit" }
func (t *buildkit) socket() string     { return "unix://" + t.dir + "/socket" }

func (t *buildkit) close() {
	if t.daemon != nil {
		_ = t.daemon.Process.Signal(os.Interrupt)
		_ = t.daemon.Wait()
		t.daemon = nil
	}
	_ = os.RemoveAll(t.dir)
}

const buildkitConfig = `root = "%[1]s/root"
[grpc]
address = ["unix://%[1]s/socket"]
[worker.oci]
enabled = true
snapshotter = "overlayfs"
binary = "runc"
networkMode = "host"
[worker.containerd]
enabled = false
[registry."%[2]s"]
http = true
`

func (t *buildkit) forget(ctx context.Context) error {
	t.close()
	if err := recreate(t.dir); err != nil {
		return err
	}
	config := filepath.Join(t.dir, "buildkitd.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, buildkitConfig, t.dir, t.registry), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(t.dir, "log")) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	defer log.Close()                                     //nolint:errcheck // the daemon has its own
	t.daemon = exec.Command(t.server, "--config="+config) //nolint:noctx,gosec // it ends with close
	t.daemon.Stdout, t.daemon.Stderr = log, log
	if err := t.daemon.Start(); err != nil {
		return err
	}
	for range 300 {
		if err = exec.CommandContext(ctx, t.buildctl, "--addr", t.socket(), "debug", "workers").Run(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("buildkitd doesn't answer: %w", err)
}

func (t *buildkit) build(ctx context.Context, j job) (usage, error) {
	args := []string{
		"--addr", t.socket(), "build", "--frontend", "dockerfile.v0", "--progress", "plain",
		"--local", "context=" + j.dir, "--local", "dockerfile=" + j.dir,
		"--opt", "build-arg:PARENT=" + j.parent, "--opt", "build-arg:INDEX=" + t.index.url(),
		"--output", "type=image,name=" + j.target + ",push=true,registry.insecure=true",
	}
	if j.fresh {
		args = append(args, "--no-cache")
	}
	return measure(ctx, exec.CommandContext(ctx, t.buildctl, args...), t.daemon.Process.Pid)
}

// crane puts a tar of the project on the parent, without any requirement: the
// least that an image with new source can take.
type crane struct {
	*bench
	dir, program string
}

func newCrane(b *bench, dir string) (tool, error) {
	program, err := b.installed("crane")
	return &crane{b, dir, program}, err
}

func (t *crane) does(s scenario) bool         { return s.source }
func (t *crane) name() string                 { return "crane append" }
func (t *crane) forget(context.Context) error { return recreate(t.dir) }
func (t *crane) close()                       {}

func (t *crane) build(ctx context.Context, j job) (usage, error) {
	layer := filepath.Join(t.dir, "source.tar.gz")
	packed, err := measure(ctx, exec.CommandContext(ctx, "tar", "-czf", layer, "-C", j.dir, "--transform", "s,^,app/,", "."), 0) //nolint:gosec // our own
	if err != nil {
		return packed, err
	}
	sent, err := measure(ctx, exec.CommandContext(ctx, t.program, "append", "--insecure", "-b", j.parent, "-f", layer, "-t", j.target), 0) //nolint:gosec // our own
	return packed.plus(sent), err
}
