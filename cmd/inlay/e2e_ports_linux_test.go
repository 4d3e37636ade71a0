// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// published runs a server in an image by both programs: it answers at the port of
// the machine that it is published at. The machine's network is one of the test's
// own, for podman makes devices and rules there.
func published(t *testing.T, e env, image string) {
	if os.Getuid() != 0 {
		t.Skip("only root can give podman a network of its own")
	}
	const server = `import socket, sys
s = socket.create_server(("", 8080))
said = b""
while not said: # who only tried to connect says nothing
    c, _ = s.accept()
    said = c.recv(10)
c.sendall(b"from inside")
print(said.decode())
sys.exit(4)
`
	// What podman keeps of networks, and where it makes them, is gone with the mounts.
	const apart = `mount -t tmpfs tmpfs /run
for d in /etc/cni/net.d /var/lib/cni; do
  if [ -d $d ]; then mkdir -p "/run/copy$d" && cp -r $d/. "/run/copy$d" && mount --bind "/run/copy$d" $d; fi
done
exec "$@"`
	ports, command := "18080:8080", []string{"--", "python3", "-c", server}
	inlay := exec.CommandContext(t.Context(), e.program, append([]string{"run", "-q", "--network", "none", "-p", ports, "oci:" + image}, command...)...)
	podman := exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "sh", "-ec", apart, "sh", filepath.Join(e.scripts, "run.sh"), image}, command...)...)
	inlay.Env = append(os.Environ(), "INLAY_CACHE_DIR="+e.cache)
	podman.Env = append(append(os.Environ(), e.store()...), "NETWORK=bridge", "RUN_ARGS=-p "+ports)
	for name, cmd := range map[string]*exec.Cmd{"inlay": inlay, "podman": podman} {
		var out, problems bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &problems
		answer := ""
		err := inNetwork(func() error {
			if err := cmd.Start(); err != nil {
				return err
			}
			answer = ask("127.0.0.1:18080", "hello", 30*time.Second)
			if answer == "" {
				_ = cmd.Process.Kill()
			}
			return cmd.Wait()
		})
		var status *exec.ExitError
		if !errors.As(err, &status) || status.ExitCode() != 4 || answer != "from inside" || out.String() != "hello\n" {
			t.Errorf("%s: the answer is %q; it ends with %v and prints %q: %s", name, answer, err, &out, &problems)
		}
	}
}

// ask says something to a server, as soon as there is one that answers, and
// returns the answer: "" if none came in time.
func ask(address, what string, patience time.Duration) string {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			continue
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = fmt.Fprint(c, what)
		answer, _ := io.ReadAll(c)
		_ = c.Close()
		if len(answer) > 0 {
			return string(answer)
		}
	}
	return ""
}
