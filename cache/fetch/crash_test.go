// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"inlay/cache/disk"
	"inlay/cache/fetch"
)

// TestMain lets a test run this very binary as another process, which downloads
// the URL in INLAY_FETCH_TEST into the directory that is its only argument.
func TestMain(m *testing.M) {
	url := os.Getenv("INLAY_FETCH_TEST")
	if url == "" {
		os.Exit(m.Run())
	}
	if _, err := (&fetch.Store{Dir: os.Args[1]}).Open(context.Background(), wheel(url)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// A process that is killed in the middle of a download leaves nothing that is
// seen, and nobody waits for it.
func TestKilledDownload(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	stall := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(content[:200_000])
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
	}
	_, url := serve(t, stall, ok(content, ""))
	s := &fetch.Store{Dir: t.TempDir()}
	cmd := exec.CommandContext(t.Context(), os.Args[0], s.Dir)
	cmd.Env = append(os.Environ(), "INLAY_FETCH_TEST="+url)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	f := wheel(url)
	if files, err := disk.List(s.Dir); len(files) > 0 || err != nil || s.Has(f.Digest) {
		t.Errorf("after the kill, List = %v, %v, Has = %v; want nothing", files, err, s.Has(f.Digest))
	}
	file, err := s.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	if _, err := disk.Sweep(s.Dir); err != nil {
		t.Error(err)
	}
	wantFiles(t, s.Dir, f.Digest.Hex)
}
