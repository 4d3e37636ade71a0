// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// probe shows what a process of an image has, but for what each engine adds of
// its own.
const probe = `id -u; id -g; id -G; pwd; env | grep -vE "^(HOSTNAME|TERM|HOME|PWD|OLDPWD|SHLVL|_|container)=" | sort; ls -ld /app /tmp /root 2>/dev/null | cut -c1-10; umask; `

// TestE2ERun runs images of several kinds with inlay and with podman: both print
// the same and end with the same status.
func TestE2ERun(t *testing.T) {
	e := e2e(t)
	address, _ := e.registry(t)
	out := t.TempDir()
	files := map[string]string{"main.py": "import os, sys; print(os.getcwd(), sys.argv, os.environ['A']); sys.exit(9)\n"}
	for _, tt := range []struct {
		name     string
		settings string
		output   string // of build
		args     []string
		home     bool // both set the same HOME
	}{
		{"plain", "", "oci:" + out + "/plain", []string{"sh", "-c", probe}, true},
		{"environment", `environment: {A: "it's", B: ""}, workdir: /srv/made`, "oci:" + out + "/environment:v1", []string{"sh", "-c", probe}, true},
		{"user", `user: www-data`, "oci-archive:" + out + "/user.tar", []string{"sh", "-c", probe + "touch /app/mine && ls -ln /app"}, true},
		{"number of a user", `user: "1000:50"`, "docker-archive:" + out + "/number.tar", []string{"sh", "-c", probe + "touch /etc/x"}, false},
		{"entrypoint", `environment: {A: x}, entrypoint: [python3, main.py], cmd: [one, "two three"]`, "oci:" + out + "/entrypoint", nil, true},
		{"entrypoint and arguments", `environment: {A: x}, entrypoint: [python3, main.py], cmd: [one]`, "registry", []string{"-x", "", "a b"}, true},
		{"command of the shell", `cmd: echo $HOME; exit 3`, "oci:" + out + "/shell", nil, true},
		{"ended by a signal", `cmd: [sh, -c, "sh -c 'kill -KILL $$'; echo $?; exit 143"]`, "oci:" + out + "/signal", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := project(t, "settings:\n  docker: {parent_image: '"+e.parent("debian")+"', "+tt.settings+"}\n", files)
			image := strings.TrimSpace(e.inlay(t, "build", "-q", "-t", address+"/team/run:v1", "-o", tt.output, dir).stdout)
			args := append([]string{"run", "-q", "--network", "none", image, "--"}, tt.args...)
			ours := command(t, []string{"INLAY_CACHE_DIR=" + e.cache}, e.program, args...)
			name := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(image, "oci:"), "oci-archive:"), "docker-archive:")
			if tt.output != "registry" {
				name, _, _ = strings.Cut(name, "@")
			}
			theirs := e.podman(t, name, tt.args...)
			if exit(ours) != exit(theirs) || ours.stdout != theirs.stdout || ours.stdout == "" {
				t.Errorf("inlay ends with %d and prints\n%s%s\npodman with %d and\n%s%s", exit(ours), ours.stdout, ours.stderr, exit(theirs), theirs.stdout, theirs.stderr)
			}
		})
	}
	t.Run("signal", func(t *testing.T) { e.signal(t, out+"/plain") })
	t.Run("ports", func(t *testing.T) { published(t, e, out+"/plain") })
	t.Run("variables and volumes", func(t *testing.T) { e.given(t, out+"/plain") })
}

// exit is the status that a command ended with, -1 if there is none.
func exit(o outcome) int {
	var status *exec.ExitError
	switch {
	case o.err == nil:
		return 0
	case errors.As(o.err, &status):
		return status.ExitCode()
	default:
		return -1
	}
}

// given runs an image with the same flags of both programs: variables, and a
// directory and a file of this machine.
func (e env) given(t *testing.T, image string) {
	const script = `echo "$A|$HERE|$NOT_HERE"; cat /data/f; (echo x >/data/f) 2>/dev/null || echo read-only; cat /one; echo made >/work/new; ls -ln /work | cut -c1-10; ls /data /work`
	var said []outcome
	for _, program := range []string{"inlay", "podman"} {
		data, work := t.TempDir(), t.TempDir()
		write(t, data+"/f", "of this machine\n")
		flags := []string{"-e", "A=one=1", "-e", "HERE", "-e", "NOT_HERE", "-v", data + ":/data:ro", "-v", data + "/f:/one", "-v", work + ":/work"}
		env := []string{"INLAY_CACHE_DIR=" + e.cache, "HERE=from here", "RUN_ARGS=" + strings.Join(flags, " ")}
		args := slices.Concat([]string{"run", "-q", "--network", "none"}, flags, []string{"oci:" + image, "--", "sh", "-c", script})
		name := e.program
		if program == "podman" {
			name, args, env = filepath.Join(e.scripts, "run.sh"), []string{image, "--", "sh", "-c", script}, append(env, e.store()...)
		}
		said = append(said, command(t, env, name, args...))
		if got := read(t, work+"/new"); got != "made\n" {
			t.Errorf("%s left %q in the volume", program, got)
		}
	}
	if exit(said[0]) != 0 || exit(said[0]) != exit(said[1]) || said[0].stdout != said[1].stdout || !strings.Contains(said[0].stdout, "one=1|from here|\nof this machine\nread-only\n") {
		t.Errorf("inlay ends with %d and prints\n%s%s\npodman with %d and\n%s%s", exit(said[0]), said[0].stdout, said[0].stderr, exit(said[1]), said[1].stdout, said[1].stderr)
	}
}

// signal sends one to both programs: what they run gets it.
func (e env) signal(t *testing.T, image string) {
	const script = `trap 'echo got it; exit 5' TERM; echo ready; for i in $(seq 600); do sleep 0.1; done`
	for name, cmd := range map[string]*exec.Cmd{
		"inlay":  exec.CommandContext(t.Context(), e.program, "run", "-q", "oci:"+image, "--", "sh", "-c", script),
		"podman": exec.CommandContext(t.Context(), filepath.Join(e.scripts, "run.sh"), image, "--", "sh", "-c", script),
	} {
		var out lockedBuffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Env = append(append(os.Environ(), e.store()...), "INLAY_CACHE_DIR="+e.cache)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, &out, "ready")
		time.Sleep(100 * time.Millisecond) // podman passes signals on when it is connected
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 5 || !strings.Contains(out.String(), "got it") {
			t.Errorf("%s with a signal: %v, %s", name, err, out.String())
		}
	}
}

// TestE2EInstallCommand installs a project by pip, which gets what builds it from
// the index, as root and as a user who
// is not, and runs both images. All layers but the command's are the same, and
// the trees are.
func TestE2EInstallCommand(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	dir, asUser := e.asUser(t)
	for name, text := range map[string]string{
		"src/inlay.yaml": "settings:\n  docker:\n    parent_image: " + e.parent("debian") + "\n    requirements: [pip]\n    bytecode: on\n    disable_automatic_requirements_detection: true\n    user: \"1000\"\n" +
			"    local_project_install_command: python3 -m pip install . --no-deps --break-system-packages\n",
		"src/pyproject.toml": "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n" +
			"[project]\nname = 'demo'\nversion = '1.0'\nscripts = {demo = 'demo:main'}\n[tool.setuptools]\npackages = ['demo']\n",
		"src/demo/__init__.py": "def main(): print('installed')\n",
		"src/.dockerignore":    "inlay.yaml\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	e.inlay(t, "build", "-q", "-o", "oci:"+dir+"/root", filepath.Join(dir, "src"))
	user := filepath.Join(dir, "user")
	asUser(nil, "build", "-q", "--parent-image", "oci:"+filepath.Join(dir, "parent"), "-o", "oci:"+user+"/image", filepath.Join(dir, "src"))
	images := []string{dir + "/root", user + "/image"}
	var said []string
	for _, image := range images {
		got := e.podman(t, image, "sh", "-c", "demo; find /app /usr/local/bin/demo -printf '%U:%G %m %p\\n' | sort")
		if got.err != nil || !strings.HasPrefix(got.stdout, "installed\n") || !strings.Contains(got.stdout, "\n1000:0 755 /app/build\n") {
			t.Errorf("%s prints %q, %v %s", image, got.stdout, got.err, got.stderr)
		}
		said = append(said, got.stdout)
	}
	if said[0] != said[1] {
		t.Errorf("built by root the image prints\n%s\nand by a user\n%s", said[0], said[1])
	}
	theirs, ours := layerDigests(t, images[0]), layerDigests(t, images[1])
	last := len(theirs) - 1
	if !slices.Equal(theirs[:last], ours[:len(ours)-1]) {
		t.Errorf("below the command's layer are %v and %v", theirs, ours)
	}
	e.report(t, "the command's layers are equal: %v", theirs[last] == ours[len(ours)-1])
	if theirs[last] != ours[len(ours)-1] { // and so are the trees, else
		e.sameTrees(t, images)
	}
}

// asUser returns a directory that every user may enter, and what runs the program
// as the user e2e, with variables more: it can write to the directory's own
// directory user, where its cache is, and read the copy of a parent in parent. A
// test as root alone can do that.
func (e env) asUser(t *testing.T) (dir string, inlay func(env []string, args ...string) outcome) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can build as another user too")
	}
	// Only its owner may enter t.TempDir.
	dir, err := os.MkdirTemp("", "inlay-e2e-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	user := filepath.Join(dir, "user")
	if err := errors.Join(os.Mkdir(user, 0o755), os.Chown(user, id(t, "-u"), id(t, "-g")), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "inlay")
	must(t, nil, "cp", e.program, program)
	must(t, nil, "cp", "-r", strings.TrimPrefix(e.parent("debian"), "oci:"), filepath.Join(dir, "parent"))
	must(t, nil, "chmod", "-R", "a+rX", filepath.Join(dir, "parent"))
	return dir, func(env []string, args ...string) outcome {
		t.Helper()
		if uvs, err := filepath.Glob(filepath.Join(e.cache, "uv", "*", "uv")); err == nil && len(uvs) > 0 { // one that another build fetched
			must(t, nil, "install", uvs[0], filepath.Join(dir, "uv"))
		}
		words := slices.Concat([]string{"-u", "e2e", "--", "env"}, env, []string{"HOME=" + user, "INLAY_CACHE_DIR=" + user + "/cache", "PATH=" + dir + ":/usr/bin:/bin", program}, args)
		return must(t, nil, "runuser", words...)
	}
}

// sameTrees compares what two images hold.
func (e env) sameTrees(t *testing.T, images []string) {
	t.Helper()
	var trees []map[string]node
	for _, image := range images {
		trees = append(trees, treeOf(t, append(e.store(), "RUN_ARGS=--user 0"), filepath.Join(e.scripts, "run.sh"), image, "--", "sh", "-c",
			"tar -C / --sort=name -cf - usr/local app root opt srv etc"))
	}
	all := maps.Clone(trees[0])
	maps.Copy(all, trees[1])
	for _, p := range slices.Sorted(maps.Keys(all)) {
		a, b := trees[0][p], trees[1][p]
		if !sameNode(a, b) {
			t.Errorf("%s: built by root %s, by a user %s", p, describe(a, a.Type != 0), describe(b, b.Type != 0))
		}
	}
}

// id is a number of the user e2e.
func id(t *testing.T, flag string) int {
	t.Helper()
	var n int
	if err := json.Unmarshal([]byte(must(t, nil, "id", flag, "e2e").stdout), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// layerDigests returns the digests of an image's layers.
func layerDigests(t *testing.T, dir string) (digests []string) {
	t.Helper()
	m, err := onlyImage(t, dir).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Layers {
		digests = append(digests, l.Digest.String())
	}
	return digests
}
