// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"inlay/cmd/inlay/doctor"
	"inlay/resolve/sandbox"
	"inlay/resolve/sandbox/sandboxtest"
)

// TestDoctorSandbox shows that doctor tells the truth of how commands are
// isolated: for root, for users with and without ids of their own, and where
// this program itself runs in a sandbox.
func TestDoctorSandbox(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	if testing.Short() {
		t.Skip("there is nothing for the race detector in it")
	}
	if out, err := exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/etc").CombinedOutput(); err != nil {
		t.Skipf("root can't mount here: %v: %s", err, out)
	}
	dir, err := os.MkdirTemp("", "doctor") //nolint:usetesting // TempDir's parents let no other user in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const user = 54321
	own := filepath.Join(dir, "own")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for p, do := range map[string]func(string) error{
		dir:                         func(p string) error { return os.Chmod(p, 0o755) },
		own:                         func(p string) error { return os.Chown(p, user, user) },
		filepath.Join(dir, "inlay"): func(p string) error { return os.WriteFile(p, self, 0o755) },
	} {
		if err := do(p); err != nil {
			t.Fatal(err)
		}
	}
	// An /etc of the test's own says who has ids.
	as := func(ids string) string {
		return fmt.Sprintf(`mount -t tmpfs -o mode=755 tmpfs /etc
echo 'someone:x:%d:%d::/:/bin/sh' > /etc/passwd
echo '%s' | tee /etc/subuid > /etc/subgid
exec setpriv --reuid %d --regid %d --clear-groups %s/inlay doctor --offline --format json --cache-dir %s/cache`, user, user, ids, user, user, dir, own)
	}
	root, err := sandbox.Choose(t.Context(), dir, sandbox.RungRoot)
	if err != nil {
		t.Skip("no sandbox for root: ", err)
	}
	tests := []struct {
		who  string
		run  func() (string, error)
		want []string // beginnings, of which one is said
	}{
		{"root", script(filepath.Join(dir, "inlay") + " doctor --offline --format json --cache-dir " + dir + "/cache"), []string{"ok commands are isolated as root: "}},
		{"a user without ids", script(as("")), []string{"note commands are isolated as one-id: "}},
		{"a user with ids", script(as("someone:200000:65536")), []string{"ok commands are isolated as subids: ", "note commands are isolated as one-id: root is the only id, changes of owners are pretended; layers are overlaid (not root: this user is not root; not subids: there is no program newuidmap"}},
		{"inside", func() (string, error) {
			var out bytes.Buffer
			_, err := root.Run(t.Context(), sandbox.Command{
				Path: "/inlay", Args: []string{"doctor", "--offline", "--format", "json", "--cache-dir", "/cache"}, Stdout: &out,
				Root:   sandbox.Root{Scratch: filepath.Join(dir, "scratch")},
				Mounts: append(sandbox.HostTools(), sandbox.Mount{Target: "/inlay", Source: filepath.Join(dir, "inlay")}, sandbox.Mount{Target: "/tmp", Tmpfs: true}),
			})
			return out.String(), err
		}, []string{"note no command can be isolated, and so none is run but uv and pip, as this user: not root: making namespaces: "}},
		{"root in a container", func() (string, error) {
			cache := filepath.Join(dir, "memory")
			if err := os.Mkdir(cache, 0o755); err != nil {
				return "", err
			}
			out, err := sandboxtest.Command(t.Context(), cache, filepath.Join(dir, "inlay"), "doctor", "--offline", "--format", "json", "--cache-dir", cache).Output()
			if !sandboxtest.Landlock() {
				t.Log("Landlock is not there, or is older than Linux 6.12: there is no chroot to speak of")
				return string(out), nil
			}
			if !strings.Contains(string(out), "commands would run with --sandbox chroot, which is never chosen by itself: WEAK: ") {
				err = fmt.Errorf("it says nothing of the chroot: %w\n%s", err, out)
			} else {
				err = nil // that it finds a problem, with no uv, is none
			}
			return string(out), err
		}, []string{"note no command can be isolated, and so none is run but uv and pip, as this user: not root: making namespaces: "}},
	}
	for _, tt := range tests {
		out, err := tt.run()
		if err != nil {
			t.Errorf("%s: %v", tt.who, err)
			continue
		}
		if got := sandboxFinding(t, out); !beginsWithOne(got, tt.want) {
			t.Errorf("%s: doctor says %q, want it to begin with one of %q", tt.who, got, tt.want)
		}
	}
	if err := root.Remove(t.Context(), filepath.Join(dir, "scratch")); err != nil {
		t.Error(err)
	}
}

// script runs a script of the shell in mounts of its own. That doctor finds a
// problem, with no uv, is no error.
func script(text string) func() (string, error) {
	return func() (string, error) {
		out, err := exec.Command("unshare", "--mount", "sh", "-c", text).Output()
		if len(out) > 0 {
			err = nil
		}
		return string(out), err
	}
}

func sandboxFinding(t *testing.T, out string) string {
	t.Helper()
	var r struct{ Findings []doctor.Finding }
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("doctor prints %q: %v", out, err)
	}
	for _, f := range r.Findings {
		if f.Check == "sandbox" {
			return f.Status + " " + f.Found
		}
	}
	return "nothing"
}

func beginsWithOne(s string, all []string) bool {
	for _, p := range all {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
