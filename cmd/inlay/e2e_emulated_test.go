// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// emulated builds on an image for arm64, with a command, and runs that image, on a
// machine that emulates arm64. To make no such machine of this one, the test has a
// user namespace of its own, whose list of emulators is its own since Linux 6.7.
func (e env) emulated(t *testing.T, root string) {
	t.Helper()
	const list = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc\n"
	own := []string{"--user", "--map-root-user", "--mount", "sh", "-ec"}
	if out, err := exec.CommandContext(t.Context(), "unshare", append(own, list)...).CombinedOutput(); err != nil {
		t.Skipf("this kernel gives a user namespace no list of emulators: %v: %s", err, out)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "src", "main.py"), "print('hello')\n")
	emulator := filepath.Join(dir, "qemu-aarch64-static")
	must(t, nil, "sh", "-ec", `cd "$0"; apt-get download -qq -o APT::Sandbox::User=root qemu-user-static; dpkg --fsys-tarfile *.deb | tar -xOf - ./usr/bin/`+filepath.Base(emulator)+` >"$1"; chmod 755 "$1"`, dir, emulator)
	uvs, err := filepath.Glob(filepath.Join(e.cache, "uv", "*", "uv"))
	if err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	if len(uvs) > 0 { // one that another build fetched
		path = filepath.Dir(uvs[0]) + ":" + path
	}
	// The kernel opens the emulator now (F), as it is in no image.
	const script = list + `printf %s ":arm64:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:$2:F" >/proc/sys/fs/binfmt_misc/register
cd "$1"
"$0" build -q --platform linux/arm64 --parent-image "oci:$3" --set 'settings.docker.local_project_install_command=uname -m >machine' -o oci:made src
exec "$0" run -q oci:made -- sh -c 'cat /app/machine; python3 -c "import platform; print(platform.machine())"'`
	got := must(t, []string{"INLAY_CACHE_DIR=" + filepath.Join(dir, "cache"), "PATH=" + path}, "unshare", append(own, script, e.program, dir, emulator, root)...)
	if !strings.HasSuffix(got.stdout, "\naarch64\naarch64\n") {
		t.Errorf("the command, and a program of the image, ran on %q", got.stdout)
	}
}
