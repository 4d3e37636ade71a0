// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestE2EKill kills builds at many moments of their lives, all on one cache and
// one layout: later builds succeed, with the digest of one that nobody
// disturbed, and what was delivered is whole at any time.
func TestE2EKill(t *testing.T) {
	e := e2e(t)
	dir := project(t, "settings:\n  docker:\n    requirements: [numpy==2.1.0, requests==2.32.3, idna==3.10]\n", map[string]string{"a.py": "print(1)\n"})
	args := []string{"build", "--parent-image", e.parent("debian"), dir, "-o"}
	want := digestOf(t, e.inlay(t, append(args, "oci:"+t.TempDir()+"/image")...).stdout)
	cache, out := t.TempDir(), t.TempDir()+"/image"
	env := append(os.Environ(), "INLAY_CACHE_DIR="+cache)
	killed := 0
	for i := range 20 {
		cmd := exec.Command(e.program, append(args, "oci:"+out)...)
		cmd.Env = env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(i*i)*12*time.Millisecond, func() { cmd.Process.Kill() })
		if cmd.Wait() != nil {
			killed++
		}
		if _, err := os.Stat(filepath.Join(out, "index.json")); err == nil {
			must(t, nil, "skopeo", "inspect", "--raw", "oci:"+out)
		}
	}
	if killed < 5 {
		t.Errorf("only %d of 20 builds were killed in time: the test proves little", killed)
	}
	final := must(t, []string{"INLAY_CACHE_DIR=" + cache}, e.program, append(args, "oci:"+out)...)
	if got := digestOf(t, final.stdout); got != want {
		t.Errorf("after %d killed builds the digest is %s, want %s", killed, got, want)
	}
	must(t, []string{"INLAY_CACHE_DIR=" + cache}, e.program, "cache", "verify")
	if left, err := filepath.Glob(cache + "/*/.tmp-*"); err != nil || len(left) > 0 {
		t.Errorf("the killed builds left %s (%v), want nothing once another has run", strings.Join(left, " "), err)
	}
	e.report(t, "%d of 20 builds killed, the next one right", killed)
}
