// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox"
	"inlay/resolve/sandbox/sandboxtest"
)

// inContainers builds a project in the sandbox of root, and with --sandbox chroot
// as root of a container without namespaces: all layers are the same. There uv
// runs without a sandbox, with that flag and without, and is said to.
func inContainers(t *testing.T, e env, ix *privateIndex, env []string, settings func(string) string) {
	if os.Getuid() != 0 {
		t.Skip("only root can be root of a container")
	}
	if !sandboxtest.Landlock() {
		t.Skip("Landlock is not there, or is older than Linux 6.12")
	}
	const installs = `import os, shutil, urllib.request, plainly
page = urllib.request.urlopen(os.environ['PIP_INDEX_URL'] + '/six/').read()
open('page', 'wb').write(page[page.index(b'six-'):][:4])
os.remove('/app/unwanted')
os.remove('/etc/motd')
shutil.rmtree('/var/spool')
os.mkdir('/var/spool')
os.chown('/app/page', 33, 44)
`
	dir := project(t, settings("    requirements: [plainly]\n    local_project_install_command: python3 install.py\n"), map[string]string{"install.py": installs, "unwanted": "x"})
	made := t.TempDir()
	must(t, env, e.program, "build", "-o", "oci:"+made+"/image", dir)

	memory := filepath.Join(made, "memory")
	if err := os.Mkdir(memory, 0o755); err != nil {
		t.Fatal(err)
	}
	wheels := project(t, settings("    requirements: [idna]\n"), nil)
	const script = `"$1" build --sandbox chroot -o "oci:$2/contained" "$3" && "$1" plan "$4" 2>"$2/auto" >/dev/null`
	cmd := sandboxtest.Command(t.Context(), memory, "/bin/sh", "-c", script, "sh", e.program, made, dir, wheels)
	cmd.Env = slices.Concat(os.Environ(), env, []string{"INLAY_CACHE_DIR=" + memory + "/cache", "TMPDIR=" + memory})
	cmd.SysProcAttr.Unshareflags &^= unix.CLONE_NEWNET // it has that of the index
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := ix.beside(cmd.Run); err != nil {
		t.Fatalf("in a container: %v\n%s", err, &said)
	}
	for _, want := range []string{
		"commands are isolated as chroot: WEAK: ", "uv and pip run as this user, without a sandbox (nothing of a package is run): chroot can't show them ",
		"plainly==1.0 was built from plainly-1.0.tar.gz, in the sandbox",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("in a container the build doesn't say %q: %s", want, &said)
		}
	}
	want := "uv and pip run as this user, without a sandbox (nothing of a package is run): commands can't be isolated on this machine; root: making namespaces: "
	if got := read(t, filepath.Join(made, "auto")); !strings.Contains(got, want) {
		t.Errorf("in a container a plan says %s, want %q", got, want)
	}
	theirs, ours := layerDigests(t, made+"/image"), layerDigests(t, made+"/contained")
	if !slices.Equal(theirs, ours) {
		t.Errorf("in the sandbox of root the layers are %v, in a container %v", theirs, ours)
	}
}

// beside calls f in a network with nothing but the index, at its address.
func (ix *privateIndex) beside(f func() error) error {
	return inNetwork(func() error {
		l, err := net.Listen("tcp", ix.Listener.Addr().String())
		if err != nil {
			return err
		}
		server := &http.Server{Handler: ix.Config.Handler, TLSConfig: ix.TLS.Clone(), ReadHeaderTimeout: time.Minute}
		defer server.Close()
		go func() { _ = server.ServeTLS(l, "", "") }() // ends when it is closed
		return f()
	})
}

// inNetwork calls f in a network of its own, where there is a loopback.
func inNetwork(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = sandbox.Loopback()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
