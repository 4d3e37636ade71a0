// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/record"
	"inlay/resolve/plan"
)

// values is a record.Values in memory that counts what is written.
type values struct {
	m    map[string][]byte
	puts int
	err  error
}

func (v *values) Get(name string) ([]byte, error) {
	if v.err != nil {
		return nil, v.err
	}
	b, ok := v.m[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (v *values) Put(name string, b []byte) error {
	v.puts++
	v.m[name] = b
	return v.err
}

func demo(created int64) record.Record {
	return record.Record{
		Digest: "sha256:01",
		Plan: plan.Plan{Version: plan.Version, Created: created, Stages: []plan.Stage{{
			Steps: []plan.Step{{Name: "x", Remove: &plan.Remove{Paths: []string{"/x"}}}},
		}}},
	}
}

func TestLast(t *testing.T) {
	v := &values{m: map[string][]byte{}}
	s := &record.Store{Values: v}
	if _, ok, err := s.Last("a"); ok || err != nil {
		t.Fatalf("Last before Save = %v, %v, want none", ok, err)
	}
	if err := errors.Join(s.Save("a", demo(1)), s.Save("b", demo(2)), s.Save("a", demo(3))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]record.Record{"a": demo(3), "b": demo(2)} {
		got, ok, err := s.Last(name)
		if !ok || err != nil {
			t.Fatalf("Last(%s) = %v, %v", name, ok, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Last(%s) (-want +got):\n%s", name, diff)
		}
	}
}

func TestSaveUnchanged(t *testing.T) {
	v := &values{m: map[string][]byte{}}
	s := &record.Store{Values: v}
	if err := errors.Join(s.Save("a", demo(1)), s.Save("a", demo(1))); err != nil {
		t.Fatal(err)
	}
	if v.puts != 1 {
		t.Errorf("saving the same record twice writes it %d times, want once", v.puts)
	}
}

// TestSaveByID holds what the ID of a plan says: that it is the one on record, but
// for the code that isn't in the image.
func TestSaveByID(t *testing.T) {
	with := func(edit func(*record.Record)) record.Record {
		r := demo(1)
		r.ID = "aa"
		r.Plan.Stages[0].Steps = append(r.Plan.Stages[0].Steps, plan.Step{Name: "run", Run: &plan.Run{Setting: "Dockerfile:1"}})
		edit(&r)
		return r
	}
	for _, tt := range []struct {
		name string
		edit func(*record.Record)
		puts int
	}{
		{"the same", func(*record.Record) {}, 1},
		{"a parent by another name", func(r *record.Record) { r.Plan.Stages[0].Parent.Image = "other" }, 2},
		{"a command by another name", func(r *record.Record) { r.Plan.Stages[0].Steps[1].Run.Setting = "Dockerfile:2" }, 2},
		{"another plan", func(r *record.Record) { r.ID, r.Plan.Created = "bb", 2 }, 2},
		{"another plan of no ID", func(r *record.Record) { r.ID, r.Plan.Created = "", 2 }, 2},
		{"another image", func(r *record.Record) { r.Digest = "sha256:02" }, 2},
		{"other code", func(r *record.Record) { r.Plan.Code = &plan.Code{Target: "/app"} }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := &values{m: map[string][]byte{}}
			s := &record.Store{Values: v}
			want := with(tt.edit)
			if err := errors.Join(s.Save("a", with(func(*record.Record) {})), s.Save("a", want)); err != nil {
				t.Fatal(err)
			}
			got, ok, err := s.Last("a")
			if v.puts != tt.puts || !ok || err != nil || got.Digest != want.Digest || got.Plan.Created != want.Plan.Created {
				t.Errorf("it is written %d times, want %d; Last = %+v, %v, %v", v.puts, tt.puts, got, ok, err)
			}
		})
	}
}

func TestLastOfAnotherVersion(t *testing.T) {
	for _, old := range []string{
		`{"plan":{"version":1,"stages":[{}]}}`, "aa sha256:01", "aa sha256:01\n",
		"aa sha256:01\n" + `{"plan":{"version":99,"stages":[{}]}}`, "aa sha256:01\n" + `{"plan":{"version":1}}`, "aa sha256:01\n[]",
	} {
		v := &values{m: map[string][]byte{}}
		s := &record.Store{Values: v}
		if err := s.Save("a", demo(1)); err != nil {
			t.Fatal(err)
		}
		for name := range v.m {
			v.m[name] = []byte(old)
		}
		if r, ok, err := s.Last("a"); ok || err != nil {
			t.Errorf("Last of %s = %v, %v, %v, want none", old, r, ok, err)
		}
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	s := &record.Store{Values: &values{m: map[string][]byte{}, err: broken}}
	if _, _, err := s.Last("a"); !errors.Is(err, broken) {
		t.Errorf("Last = %v, want %v", err, broken)
	}
	if err := s.Save("a", demo(1)); !errors.Is(err, broken) {
		t.Errorf("Save = %v, want %v", err, broken)
	}
}

// TestWithoutValues holds that a record has no value of a variable or label, which
// may be a secret, and that a plan is told from another all the same.
func TestWithoutValues(t *testing.T) {
	v := &values{m: map[string][]byte{}}
	s := &record.Store{Values: v}
	of := func(value string) plan.Plan {
		r := demo(0)
		stage := &r.Plan.Stages[0]
		stage.Steps = append(stage.Steps, plan.Step{Name: "run", Run: &plan.Run{Command: []string{"make"}, Env: []string{"KEY=" + value}}})
		stage.Config = plan.Config{Env: []string{"KEY=" + value}, Labels: map[string]string{"key": value}, Annotations: map[string]string{"key": value}}
		return r.Plan
	}
	if err := s.Save("a", record.Record{Plan: of("hunter2")}); err != nil {
		t.Fatal(err)
	}
	for _, b := range v.m {
		if bytes.Contains(b, []byte("hunter2")) || !bytes.Contains(b, []byte("KEY=")) {
			t.Errorf("the record is %s, want the variable without its value", b)
		}
	}
	last, _, err := s.Last("a")
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{"hunter2": "[] [[] []]", "other": "[environment labels annotations] [[] [its environment changed]]"} {
		if got := fmt.Sprint(plan.Around(last.Plan, of(value)), of(value).Since(last.Plan)); got != want {
			t.Errorf("what changed with the value %s is %s, want %s", value, got, want)
		}
	}
}

// TestWithoutURLs holds that a record doesn't keep where wheels come from: the
// URL may be signed.
func TestWithoutURLs(t *testing.T) {
	v := &values{m: map[string][]byte{}}
	wheel := plan.Wheel{Name: "six", Version: "1.0", URL: "https://example.com/six.whl?sig=secret"}
	r := demo(0)
	r.Plan.Stages = []plan.Stage{{Steps: []plan.Step{{Name: "six 1.0", Python: &plan.Python{Wheels: []plan.Wheel{wheel}}}}}}
	keys := r.Plan.Image().Keys()
	s := record.Store{Values: v}
	if err := s.Save("app", r); err != nil {
		t.Fatal(err)
	}
	for _, b := range v.m {
		if bytes.Contains(b, []byte("secret")) {
			t.Errorf("the record holds the URL's signature: %s", b)
		}
	}
	if got := r.Plan.Image().Steps[0].Python.Wheels[0]; got != wheel {
		t.Errorf("Save changed the plan's wheel to %+v", got)
	}
	last, ok, err := s.Last("app")
	if err != nil || !ok {
		t.Fatalf("Last = %v, %v", ok, err)
	}
	if diff := cmp.Diff(keys, last.Plan.Image().Keys()); diff != "" {
		t.Errorf("the keys of the recorded plan (-want +got):\n%s", diff)
	}
}
