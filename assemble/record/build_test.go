// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/record"
	"inlay/cache/disk"
)

// built is a build of two images, at a time.
func built(t *testing.T, at int64, plans ...string) record.Build {
	t.Helper()
	b := record.Build{Created: time.Unix(at, 0).UTC(), Pipeline: "demo", Context: "/src", Inlay: "dev"}
	for i, p := range plans {
		key := []string{"orchestrator", "train.orchestrator"}[i]
		ref := fmt.Sprintf("reg.example/app@sha256:%s%d", p, at)
		b.Images = append(b.Images, record.Image{Keys: []string{key}, Image: ref, References: []string{ref}, Digest: "sha256:" + p, Plan: p, Platform: "linux/amd64", ContainsCode: i == 1})
	}
	b, err := b.Complete()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuilds(t *testing.T) {
	s := &record.Builds{Values: disk.Values{Dir: t.TempDir()}}
	first, second := built(t, 1, "aa", "bb"), built(t, 2, "aa")
	if err := errors.Join(s.Save(first), s.Save(second)); err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]record.Build{second, first}, all); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	if got, err := s.Find(first.ID[:5]); err != nil || got.ID != first.ID {
		t.Errorf("Find(%s) = %s, %v, want %s", first.ID[:5], got.ID, err, first.ID)
	}
	if m, ok, err := s.Made("aa"); err != nil || !ok || m.Build != second.ID {
		t.Errorf("Made = %+v, %v, %v, want that of the second", m, ok, err)
	}
	if m, ok, err := s.Made("bb"); err != nil || !ok || m.Build != first.ID {
		t.Errorf("Made = %+v, %v, %v, want that of the first", m, ok, err)
	}
	local := built(t, 3, "aa")
	local.Images[0].References = []string{"oci:out@sha256:aa"}
	if err := s.Save(local); err != nil {
		t.Fatal(err)
	}
	if m, ok, err := s.Pushed("aa"); err != nil || !ok || m.Build != second.ID {
		t.Errorf("Pushed = %+v, %v, %v, want that of the second, which is in a registry", m, ok, err)
	}
	if err := s.Delete(local); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(second); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Delete(first)); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Made("bb"); ok || err != nil {
		t.Errorf("Made of a deleted build = %v, %v, want none", ok, err)
	}
	if _, ok, err := s.Made("aa"); !ok || err != nil {
		t.Errorf("Made of the build that is left = %v, %v, want it", ok, err)
	}
	var none *record.BuildError
	if _, err := s.Find(first.ID); !errors.As(err, &none) || none.Count != 0 {
		t.Errorf("Find of a deleted build = %v", err)
	}
	if _, err := s.Find(""); !errors.As(err, &none) {
		t.Errorf("Find of nothing = %v", err)
	}
}

// TestComplete holds what a build says of its images as a whole.
func TestComplete(t *testing.T) {
	a, b := built(t, 1, "aa"), built(t, 1, "aa", "bb")
	if a.ContainsCode || !b.ContainsCode {
		t.Errorf("ContainsCode = %v and %v, want false and true", a.ContainsCode, b.ContainsCode)
	}
	if a.Checksum == b.Checksum || a.ID == b.ID || len(a.ID) != 12 {
		t.Errorf("the IDs are %s and %s, the checksums %s and %s", a.ID, b.ID, a.Checksum, b.Checksum)
	}
	if again := built(t, 2, "aa"); again.Checksum != a.Checksum || again.ID == a.ID {
		t.Errorf("the same at another time has ID %s and checksum %s", again.ID, again.Checksum)
	}
	for ref, remote := range map[string]bool{
		"reg.example/app@sha256:1": true, "localhost:5000/app@sha256:1": true, "oci:out/x@sha256:1": false,
		"docker-archive:a/b.tar@sha256:1": false, "sha256:1": false, "oci-archive:a/x@sha256:1": false,
	} {
		if got := record.Remote(ref); got != remote {
			t.Errorf("Remote(%s) = %v", ref, got)
		}
	}
}

// TestSameBuild holds that making the same again, in the same places, is no
// other build.
func TestSameBuild(t *testing.T) {
	s := &record.Builds{Values: disk.Values{Dir: t.TempDir()}}
	first := built(t, 1, "aa", "bb")
	again := first
	again.Created = time.Unix(9, 0).UTC()
	again, err := again.Complete()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := built(t, 1, "aa", "bb")
	elsewhere.Images[1].References = []string{"oci:out@sha256:bb"}
	if elsewhere, err = elsewhere.Complete(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		b    record.Build
		want int
	}{{first, 1}, {again, 1}, {elsewhere, 2}, {again, 3}} {
		if err := s.Save(tt.b); err != nil {
			t.Fatal(err)
		}
		if all, err := s.List(); err != nil || len(all) != tt.want {
			t.Errorf("List = %d builds, %v, want %d", len(all), err, tt.want)
		}
	}
}

// TestSameBuildLost records a build again of which something is gone or damaged.
func TestSameBuildLost(t *testing.T) {
	for _, prefix := range []string{"build-", "made-", "pushed-"} {
		dir := t.TempDir()
		s := &record.Builds{Values: disk.Values{Dir: dir}}
		b := built(t, 1, "aa")
		for range 2 {
			if err := s.Save(b); err != nil {
				t.Fatal(err)
			}
			names, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
			if err != nil || len(names) != 1 {
				t.Fatalf("there are %v, %v, want one %s value", names, err, prefix)
			}
			if prefix == "build-" {
				err = os.WriteFile(names[0], []byte("damaged"), 0o600)
			} else {
				err = os.Remove(names[0])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Save(b); err != nil {
			t.Fatal(err)
		}
		all, err := s.List()
		_, pushed, err2 := s.Pushed("aa")
		if err != nil || err2 != nil || len(all) != 1 || !pushed {
			t.Errorf("without %s: %d builds are listed, pushed %v; %v, %v", prefix, len(all), pushed, err, err2)
		}
	}
}

// TestManyWriters holds that builds that end at the same time are all kept.
func TestManyWriters(t *testing.T) {
	s := &record.Builds{Values: disk.Values{Dir: t.TempDir()}}
	var g sync.WaitGroup
	for i := range 20 {
		b := built(t, int64(i), "aa")
		g.Go(func() {
			if err := s.Save(b); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if all, err := s.List(); err != nil || len(all) != 20 {
		t.Errorf("List = %d builds, %v, want 20", len(all), err)
	}
}

func TestRead(t *testing.T) {
	b := built(t, 1, "aa", "bb")
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := record.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, got); diff != "" {
		t.Errorf("Read (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "[]", "{}", `{"images":[{}]}`, `{"imges":[]}`} {
		if _, err := record.Read(strings.NewReader(bad)); err == nil {
			t.Errorf("Read(%s) takes it", bad)
		}
	}
}

// TestImageOfKeys holds that the pipeline's image stands in for a step's.
func TestImageOfKeys(t *testing.T) {
	b := built(t, 1, "aa", "bb")
	for key, want := range map[string]string{"orchestrator": "aa", "train.orchestrator": "bb", "eval.orchestrator": "aa", "a.b.orchestrator": "aa", "deployer": "", "eval.deployer": ""} {
		if got, ok := b.Image("linux/amd64", key); got.Plan != want || ok != (want != "") {
			t.Errorf("Image(%s) = %q, %v, want %q", key, got.Plan, ok, want)
		}
	}
	if got, ok := b.Image("linux/arm64", "orchestrator"); ok {
		t.Errorf("for another platform it has %q", got.Plan)
	}
}
