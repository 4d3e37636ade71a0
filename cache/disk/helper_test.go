// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"inlay/cache/disk"
)

// TestMain lets a test run this very binary as another process: what to do
// stands in INLAY_DISK_TEST, the directory to do it in as the only argument.
func TestMain(m *testing.M) {
	role := os.Getenv("INLAY_DISK_TEST")
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// held keeps what a role holds from the garbage collector, which would close it.
var held []any

var roles = map[string]func(dir string) error{
	// write starts a file and a lock and keeps both until it is killed.
	"write": func(dir string) error {
		f, err := disk.Create(dir)
		if err != nil {
			return err
		}
		if _, err := f.WriteString("half"); err != nil {
			return err
		}
		unlock, err := disk.Lock(context.Background(), dir+"/"+disk.LockPrefix+"a", false)
		if err != nil {
			return err
		}
		held = []any{f, unlock}
		fmt.Println("ready")
		time.Sleep(time.Hour) // not select {}: the runtime calls that a deadlock
		return errors.New("nobody killed the writer")
	},
	// scratch makes a directory with something in it and keeps it until it is
	// killed.
	"scratch": func(under string) error {
		dir, remove, err := disk.Scratch(context.Background(), under)
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/a", []byte("half"), 0o644); err != nil {
			return err
		}
		held = []any{remove}
		fmt.Println("ready")
		time.Sleep(time.Hour)
		return errors.New("nobody killed the process")
	},
}

// describe checks that err is a *DirError of dir that says what to do, and
// prints what it says.
func describe(err error, dir string) error {
	var de *disk.DirError
	if !errors.As(err, &de) || de.Dir != dir {
		return fmt.Errorf("got %w, want a *DirError of %s", err, dir)
	}
	_, err = fmt.Println(strings.ReplaceAll(err.Error()+"\n"+de.Hint(), dir, "DIR"))
	return err
}

// start runs this binary in a role, in a mount namespace of its own if asked
// to, and returns the process and its output.
func start(t *testing.T, role, dir string, mounts bool) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], dir)
	cmd.Env = append(os.Environ(), "INLAY_DISK_TEST="+role)
	if mounts {
		if cmd.SysProcAttr = mounting(); cmd.SysProcAttr == nil {
			t.Skip("there are no mount namespaces")
		}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if mounts {
			t.Skipf("no mount namespace here: %v", err)
		}
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

// run runs this binary in a role and a mount namespace, and returns what it
// printed.
func run(t *testing.T, role, dir string) string {
	t.Helper()
	cmd, r := start(t, role, dir, true)
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if reason, skip := strings.CutPrefix(string(out), "skip: "); skip {
		t.Skip(reason)
	}
	if err != nil {
		t.Fatalf("%s: %v: %s", role, err, out)
	}
	return string(out)
}
