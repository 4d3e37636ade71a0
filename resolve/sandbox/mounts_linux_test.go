// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox"
)

// TestMounts shows what mounts are like inside, and what they leave outside.
func TestMounts(t *testing.T) {
	host := openDir(t)
	for name, mode := range map[string]fs.FileMode{"file": 0o644, "dir/in": 0o644, "private": 0o600} {
		p := filepath.Join(host, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte("host"), mode)); err != nil {
			t.Fatal(err)
		}
	}
	eachRung(t, func(t *testing.T, b box) {
		c := sandbox.Command{Root: b.root(t), Mounts: []sandbox.Mount{
			{Target: "/m/file", Source: filepath.Join(host, "file")},
			{Target: "/m/private", Source: filepath.Join(host, "private")},
			{Target: "/m/dir", Source: filepath.Join(host, "dir")},
			{Target: "/m/writable", Source: filepath.Join(host, "dir"), Writable: true},
			{Target: "/run/secrets/x", Content: []byte("secret"), Mode: 0o400},
			{Target: "/m/tmp", Tmpfs: true, Size: 1 << 20},
			{Target: "/out/etc2/x", Content: []byte("x")}, // out is a link to ../../..
		}}
		if contained() { // its mounts are copies
			c.Mounts[3].Writable, c.Env = false, []string{"COPIES=yes"}
		}
		if overlaid() { // its files can't be shown as another's to be written
			check := c
			check.Path, check.Root = "/bin/true", b.root(t)
			_, err := b.Run(t.Context(), check)
			var h interface{ Hint() string }
			if !errors.As(err, &h) || !strings.Contains(err.Error(), "so that it can be written") {
				t.Errorf("a writable mount of an overlay: %v", err)
			}
			c.Mounts[3].Writable, c.Env = false, []string{"OVERLAID=yes"}
		}
		out, res := b.act(t, c, "mounts")
		if res.Exit != 0 {
			t.Fatalf("mounts: %s", out)
		}
		if contained() {
			b.lent(t, c.Root.Scratch, host)
		}
		if overlaid() || contained() {
			return
		}
		info, err := os.Stat(filepath.Join(host, "dir/made"))
		if err != nil {
			t.Fatalf("what is written in a writable mount: %v", err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
			t.Errorf("what is written belongs to %d, want this user", st.Uid)
		}
		if err := os.Remove(filepath.Join(host, "dir/made")); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat("/etc2"); err == nil {
			t.Error("a mount led out of the root directory")
		}
		if b, err := os.ReadFile(filepath.Join(c.Root.Scratch, "upper/run/secrets/x")); err == nil && len(b) > 0 {
			t.Errorf("the secret is on the disk: %q", b)
		}
		for _, bad := range []string{"m", "/", ""} {
			if _, err := b.Run(t.Context(), sandbox.Command{Path: "/bin/echo", Root: b.root(t), Mounts: []sandbox.Mount{{Target: bad, Tmpfs: true}}}); err == nil {
				t.Errorf("a mount at %q is no error", bad)
			}
		}
		if _, err := b.Run(t.Context(), sandbox.Command{Path: "/bin/echo", Root: b.root(t), Mounts: []sandbox.Mount{{Target: "/x", Source: host + "/absent"}}}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a mount of what isn't there: %v", err)
		}
	})
}

// overlaid reports whether the tests' directories lie on an overlay.
func overlaid() bool { return os.Getenv(asUser) == onOverlay }

// mounts is an act: it looks at what TestMounts mounts.
func mounts([]string) int {
	var errs []error
	check := func(what string, ok bool) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	var content []byte
	for _, p := range []string{"/m/file", "/m/private", "/m/dir/in"} {
		b, err := os.ReadFile(p)
		check(fmt.Sprintf("%s is %q, %v", p, b, err), string(b) == "host")
		err = os.WriteFile(p, nil, 0o644)
		check(fmt.Sprintf("writing %s: %v", p, err), errors.Is(err, unix.EROFS) || os.Getenv("COPIES") != "")
		content = append(content, b...)
	}
	check(fmt.Sprintf("the files hold %q", content), string(content) == "hosthosthost")
	b, err := os.ReadFile("/run/secrets/x")
	check(fmt.Sprintf("the secret is %q, %v", b, err), string(b) == "secret")
	info, err := os.Stat("/run/secrets/x")
	check(fmt.Sprintf("the secret's mode: %v", err), err == nil && info.Mode() == 0o400)
	check("writing to the secret", os.WriteFile("/run/secrets/x", nil, 0o644) != nil || os.Getenv("COPIES") != "")
	check("writing to the writable mount", os.WriteFile("/m/writable/made", nil, 0o644) == nil || os.Getenv("OVERLAID") != "")
	info, err = os.Stat("/m/tmp")
	check(fmt.Sprintf("the mode of the file system in memory: %v", err), err == nil && info.Mode() == fs.ModeDir|fs.ModeSticky|fs.ModePerm)
	err = os.WriteFile("/m/tmp/x", make([]byte, 2<<20), 0o644)
	check(fmt.Sprintf("more than the file system in memory takes: %v", err), errors.Is(err, unix.ENOSPC) || os.Getenv("COPIES") != "")
	b, err = os.ReadFile("/etc2/x")
	check(fmt.Sprintf("what lies beyond the link is %q, %v", b, err), string(b) == "x")
	return status(errors.Join(errs...))
}

// What this process opens while a sandbox starts stays open: no descriptor is
// closed that may be another's by then.
func TestDescriptors(t *testing.T) {
	host := openDir(t)
	eachRung(t, func(t *testing.T, b box) {
		c := sandbox.Command{Root: b.root(t)}
		for i := range 100 {
			c.Mounts = append(c.Mounts, sandbox.Mount{Target: fmt.Sprintf("/mounts/%d", i), Source: host})
		}
		stop := make(chan struct{})
		var others errgroup.Group
		for range 4 {
			others.Go(func() error {
				for {
					select {
					case <-stop:
						return nil
					default:
					}
					if err := usePipe(); err != nil {
						return err
					}
				}
			})
		}
		for range 5 {
			if said, r := b.act(t, c, "true"); r.Exit != 0 {
				t.Errorf("true ended with %d: %s", r.Exit, said)
			}
		}
		close(stop)
		if err := others.Wait(); err != nil {
			t.Errorf("a pipe beside it: %v", err)
		}
	})
}

// usePipe sends a byte through a pipe of its own.
func usePipe() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	_, err = w.Write([]byte{1})
	if err == nil {
		_, err = io.ReadFull(r, make([]byte, 1))
	}
	return errors.Join(err, w.Close(), r.Close())
}

// Where mounts are shared, as systemd has them, what is mounted in a sandbox
// isn't on the host.
func TestSharedPropagation(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has mounts to share")
	}
	dir := openDir(t)
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self(t))
	cmd.Args = []string{"peer", dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch exit := (*exec.ExitError)(nil); {
	case errors.Is(err, syscall.EPERM), errors.As(err, &exit) && exit.ExitCode() == noMounts:
		t.Skipf("root can't mount here: %s", out)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	}
}

// bePeer is an act outside, in mounts of its own that are shared: it runs nothing
// in a sandbox that has a directory, and another one in that, and tells what is
// mounted then.
func bePeer(args []string) int {
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")); err != nil {
		fmt.Println(err)
		return noMounts
	}
	box, err := sandbox.Choose(context.Background(), args[0], "")
	if err != nil {
		fmt.Println(err)
		return noMounts
	}
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return status(err)
	}
	_, err = box.Run(context.Background(), sandbox.Command{Path: "/data/nothing", Mounts: []sandbox.Mount{
		{Target: "/data", Source: args[0]}, {Target: "/data/in", Source: filepath.Join(args[0], "in")},
	}})
	var start *sandbox.StartError
	if !errors.As(err, &start) { // which comes after all mounts
		return status(fmt.Errorf("running nothing: %w", err))
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && !bytes.Equal(before, after) {
		err = fmt.Errorf("the host has mounts of the sandbox:\n%s", after)
	}
	return status(err)
}
