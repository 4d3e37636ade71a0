// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/cache/disk"
)

func TestValuesKeepWhatWasPut(t *testing.T) {
	t.Parallel()
	v := disk.Values{Dir: filepath.Join(t.TempDir(), "values")}
	for _, want := range []string{"first", "", "two\nlines\n", "\x00\xff", strings.Repeat("long", 100_000)} {
		if err := v.Put("a", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get("a"); string(got) != want || err != nil {
			t.Errorf("Get = %.20q, %v, want %.20q", got, err, want)
		}
		if got, err := v.Peek("a"); string(got) != want || err != nil {
			t.Errorf("Peek = %.20q, %v, want %.20q", got, err, want)
		}
	}
	if err := v.Put("b", nil); err != nil {
		t.Fatal(err)
	}
	got, err := v.List()
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" || err != nil {
		t.Errorf("List: %v (-want +got):\n%s", err, diff)
	}
	for range 2 {
		if err := v.Delete("a"); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
	if _, err := v.Get("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get of a deleted value = %v, want fs.ErrNotExist", err)
	}
}

func TestNoValues(t *testing.T) {
	t.Parallel()
	v := disk.Values{Dir: filepath.Join(t.TempDir(), "none")}
	if _, err := v.Get("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get = %v, want fs.ErrNotExist", err)
	}
	if names, err := v.List(); len(names) > 0 || err != nil {
		t.Errorf("List = %v, %v, want nothing", names, err)
	}
	if err := v.Delete("a"); err != nil {
		t.Errorf("Delete = %v", err)
	}
}

func TestDamagedValues(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := disk.Values{Dir: dir}
	if err := v.Put("whole", []byte("the value")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "inlay-value 1 d0d1f21cbfca0bdc0d49914a5f853d9615c2b50bda2c651405a6da8513ab7bf6\nthe value"; string(whole) != want {
		t.Errorf("stored as %q, want %q", whole, want)
	}
	damage := map[string][]byte{
		"another version": bytes.Replace(whole, []byte("inlay-value 1"), []byte("inlay-value 2"), 1),
		"another name":    whole,
		"longer":          append(bytes.Clone(whole), 'x'),
		"empty":           nil,
		"no newline":      []byte("inlay-value 1"),
	}
	for i := range whole {
		damage[fmt.Sprintf("cut at %d", i)] = whole[:i]
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1
		damage[fmt.Sprintf("bit flipped at %d", i)] = flipped
	}
	for what, b := range damage {
		// Under its own name, but for the value that was moved.
		name := "whole"
		if what == "another name" {
			name = "moved"
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Get = %q, %v, want fs.ErrNotExist", what, got, err)
		}
		if got, err := v.Peek(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Peek = %q, %v, want fs.ErrNotExist", what, got, err)
		}
	}
}

func TestValuesAreBounded(t *testing.T) {
	t.Parallel()
	v := disk.Values{Dir: t.TempDir()}
	if err := v.Put("a", make([]byte, 64<<20+1)); err == nil {
		t.Error("Put of more than 64 MiB succeeded")
	}
	wantNames(t, v.Dir)
}

func TestGetIsUse(t *testing.T) {
	t.Parallel()
	v := disk.Values{Dir: t.TempDir()}
	if err := v.Put("a", nil); err != nil {
		t.Fatal(err)
	}
	long := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	path := filepath.Join(v.Dir, "a")
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	age := func() time.Duration {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return time.Since(info.ModTime())
	}
	if _, err := v.Peek("a"); err != nil || age() < time.Hour {
		t.Errorf("after Peek: %v, used %v ago; want it untouched", err, age())
	}
	if _, err := v.Get("a"); err != nil || age() > time.Hour {
		t.Errorf("after Get: %v, used %v ago; want it touched", err, age())
	}
}

// Readers see one of the values that were put, never a mixture or nothing.
func TestValuesAtOnce(t *testing.T) {
	t.Parallel()
	v := disk.Values{Dir: t.TempDir()}
	if err := v.Put("a", bytes.Repeat([]byte{'0'}, 5000)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 10 {
				if err := v.Put("a", bytes.Repeat([]byte{byte('0' + w)}, 5000)); err != nil {
					t.Error(err)
				}
				got, err := v.Get("a")
				if err != nil || len(got) != 5000 || len(bytes.Trim(got, string(got[:1]))) > 0 {
					t.Errorf("Get = %.10q… of %d bytes, %v", got, len(got), err)
				}
			}
		})
	}
	wg.Wait()
	wantNames(t, v.Dir, "a")
}
