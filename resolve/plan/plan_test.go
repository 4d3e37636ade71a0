// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// demo returns a plan with one step of each kind.
func demo() plan.Plan {
	base := plan.Base{
		Links: []plan.Link{{Path: "/usr/local/man", Target: "/usr/local/share/man"}},
		Dirs:  []plan.Dir{{Path: "/usr/local/lib/python3.11", Mode: fs.ModeSetgid | 0o775, GID: 50}},
	}
	return plan.Plan{
		Version:  plan.Version,
		Platform: "linux/amd64",
		Stages: []plan.Stage{{
			Parent: plan.Parent{Image: "registry.example/python@sha256:00", Digest: "sha256:00"},
			Steps: []plan.Step{
				{Name: "remove numpy 1.24.2", Remove: &plan.Remove{Base: base, Paths: []string{"/usr/local/lib/python3.11/dist-packages/numpy"}}},
				{Name: "numpy 2.1.0", Python: &plan.Python{
					Base:   base,
					Scheme: plan.Scheme{Purelib: "/lib", Platlib: "/lib", Scripts: "/bin", Data: "/", Headers: "/include", Interpreter: "/bin/python3", Version: "3.11"},
					Wheels: []plan.Wheel{{Name: "numpy", Version: "2.1.0", File: "numpy-2.1.0.whl", URL: "https://index.example/numpy.whl", Digest: "sha256:01", Size: 3}},
				}},
				{Name: "source", Files: &plan.Files{Target: "/app", UID: 1000, GID: 1000, Files: []plan.File{
					{Path: "data", Mode: fs.ModeDir | 0o755},
					{Path: "run.py", Mode: 0o644, Size: 3, Digest: "sha256:02"},
					{Path: "latest", Mode: fs.ModeSymlink | 0o777, Link: "run.py"},
				}}},
			},
			Config: plan.Config{Env: []string{"A=1"}, User: "1000", WorkDir: "/app", Labels: map[string]string{"a": "b"}},
		}},
	}
}

// withRun is demo with a command at its end.
func withRun() plan.Stage {
	s := demo().Image()
	s.Steps = append(s.Steps, plan.Step{Name: "install", Run: &plan.Run{
		Parent: "sha256:0a", Command: []string{"/bin/sh", "-c", "pip install ."}, Dir: "/app", Env: []string{"A=1"},
		Own: []plan.Owner{{Path: "/app", UID: 1000, GID: 1000}}, Setting: "local_project_install_command",
	}})
	return s
}

// TestRun holds that the key of a command covers what it can see, and only its
// own layer depends on it.
func TestRun(t *testing.T) {
	tests := []struct {
		change string
		edit   func(*plan.Stage)
		key    bool // whether the command's key changes
		since  []string
	}{
		{"nothing", func(*plan.Stage) {}, false, nil},
		{"names", func(s *plan.Stage) { s.Steps[0].Name, s.Steps[3].Name = "x", "y" }, false, nil},
		{"where a wheel comes from", func(s *plan.Stage) { s.Steps[1].Python.Wheels[0].URL = "https://mirror.example" }, false, nil},
		{"how a layer below is compressed", func(s *plan.Stage) { s.Steps[1].Compression = plan.Zstd }, false, nil},
		{"the command", func(s *plan.Stage) { s.Steps[3].Run.Command[2] = "x" }, true, []string{"the command changed"}},
		{"the directory", func(s *plan.Stage) { s.Steps[3].Run.Dir = "/" }, true, []string{"the command changed"}},
		{"a variable", func(s *plan.Stage) { s.Steps[3].Run.Env = nil }, true, []string{"its environment changed"}},
		{"the owner", func(s *plan.Stage) { s.Steps[3].Run.Own = nil }, true, []string{"the owner of files changed"}},
		{"the time", func(s *plan.Stage) { s.Steps[3].Run.Created = 1 }, true, []string{"the time of the files changed (SOURCE_DATE_EPOCH)"}},
		{"the parent's tree", func(s *plan.Stage) { s.Steps[3].Run.Parent = "sha256:ff" }, true, []string{"the parent changed"}},
		{"a wheel below", func(s *plan.Stage) { s.Steps[1].Python.Wheels[0].Digest = "sha256:ff" }, true, []string{"a layer below it changed"}},
		{"a file below", func(s *plan.Stage) { s.Steps[2].Files.Files[1].Digest = "sha256:ff" }, true, []string{"a layer below it changed"}},
		{"a layer below", func(s *plan.Stage) { s.Steps = s.Steps[1:] }, true, []string{"a layer below it changed"}},
		{"the compression", func(s *plan.Stage) { s.Steps[3].Compression = plan.Zstd }, true, []string{"compression changed to zstd"}},
	}
	for _, tt := range tests {
		t.Run(tt.change, func(t *testing.T) {
			before, now := withRun(), withRun()
			tt.edit(&now)
			last := len(now.Steps) - 1
			if got := now.Key(last, nil) != before.Key(3, nil); got != tt.key {
				t.Errorf("the key changes: %v, want %v", got, tt.key)
			}
			if now.Keys()[last] != now.Key(last, nil) {
				t.Error("Keys and Key differ")
			}
			got := plan.Diff(before, now)[last]
			if diff := cmp.Diff(tt.since, got); diff != "" {
				t.Errorf("Diff (-want +got):\n%s", diff)
			}
		})
	}
	if got := plan.Diff(demo().Image(), withRun())[3]; !cmp.Equal(got, []string{"new"}) {
		t.Errorf("Diff of a new command = %q", got)
	}
}

func TestEncode(t *testing.T) {
	var buf bytes.Buffer
	if err := demo().Encode(&buf); err != nil {
		t.Fatal(err)
	}
	golden(t, "demo.json", buf.Bytes())
	back, err := plan.Decode(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(demo(), back); diff != "" {
		t.Errorf("decoding gives another plan (-encoded +decoded):\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct{ name, json, want string }{
		{"no JSON", "plan", "reading a plan: invalid character 'p' looking for beginning of value"},
		{"unknown field", `{"version":1,"stage":[]}`, `reading a plan: json: unknown field "stage"`},
		{"other version", `{"version":99,"stages":[{}]}`, "reading a plan: it is of version 99, this program reads version 1: plan the build again"},
		{"no stages", `{"version":1,"stages":[]}`, "reading a plan: it has no stages"},
		{"step of no kind", `{"version":1,"stages":[{"steps":[{"name":"x"}]}]}`, "reading a plan: step 0 of stage 0 is of 0 kinds, want exactly one"},
		{"step of two kinds", `{"version":1,"stages":[{"steps":[{"name":"x","remove":{},"files":{}}]}]}`, "reading a plan: step 0 of stage 0 is of 2 kinds, want exactly one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := plan.Decode(strings.NewReader(tt.json))
			if err == nil || err.Error() != tt.want {
				t.Errorf("Decode(%s) = %v, want %s", tt.json, err, tt.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	var buf bytes.Buffer
	p := demo()
	p.Stages[0] = withRun()
	if err := p.Encode(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := plan.Decode(bytes.NewReader(b))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := p.Encode(&out); err != nil {
			t.Fatal(err)
		}
		again, err := plan.Decode(&out)
		if err != nil {
			t.Fatalf("a plan that was decoded and encoded can't be decoded: %v", err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Errorf("encoding is not a fixed point (-first +second):\n%s", diff)
		}
	})
}

func TestKeys(t *testing.T) {
	tests := []struct {
		change string
		edit   func(*plan.Stage)
		want   []bool // whether each step's key changes
	}{
		{"the parent", func(s *plan.Stage) { s.Parent = plan.Parent{Image: "x", Digest: "sha256:ff"} }, []bool{false, false, false}},
		{"a step's name", func(s *plan.Stage) { s.Steps[1].Name = "x" }, []bool{false, false, false}},
		{"where a wheel comes from", func(s *plan.Stage) { s.Steps[1].Python.Wheels[0].URL = "https://mirror.example" }, []bool{false, false, false}},
		{"what the index says of its size", func(s *plan.Stage) { s.Steps[1].Python.Wheels[0].Size = 0 }, []bool{false, false, false}},
		{"the configuration", func(s *plan.Stage) { s.Config.Env = nil }, []bool{false, false, false}},
		{"a removed path", func(s *plan.Stage) { s.Steps[0].Remove.Paths[0] = "/x" }, []bool{true, false, false}},
		{"a wheel", func(s *plan.Stage) { s.Steps[1].Python.Wheels[0].Digest = "sha256:ff" }, []bool{false, true, false}},
		{"a wheel's file name", func(s *plan.Stage) { s.Steps[1].Python.Wheels[0].File = "x.whl" }, []bool{false, true, false}},
		{"the interpreter", func(s *plan.Stage) { s.Steps[1].Python.Scheme.Interpreter = "/usr/bin/python3" }, []bool{false, true, false}},
		{"a link of the parent", func(s *plan.Stage) { s.Steps[1].Python.Links = nil }, []bool{false, true, false}},
		{"a directory of the parent", func(s *plan.Stage) { s.Steps[1].Python.Dirs = nil }, []bool{false, true, false}},
		{"a file", func(s *plan.Stage) { s.Steps[2].Files.Files[1].Digest = "sha256:ff" }, []bool{false, false, true}},
		{"a file's mode", func(s *plan.Stage) { s.Steps[2].Files.Files[1].Mode = 0o755 }, []bool{false, false, true}},
		{"the owner", func(s *plan.Stage) { s.Steps[2].Files.UID = 0 }, []bool{false, false, true}},
		{"the time", func(s *plan.Stage) { s.Steps[2].Files.ModTime = 1 }, []bool{false, false, true}},
		{"the compression", func(s *plan.Stage) { s.Steps[1].Compression = plan.Zstd }, []bool{false, true, false}},
	}
	for _, tt := range tests {
		t.Run(tt.change, func(t *testing.T) {
			before, stage := demo().Image().Keys(), demo().Image()
			tt.edit(&stage)
			got := make([]bool, len(before))
			for i, k := range stage.Keys() {
				got[i] = k != before[i]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("changing %s changes other keys than it should (-want +got):\n%s", tt.change, diff)
			}
		})
	}
}

// TestKeyOfFiles holds that all of a file but where it comes from is in the key.
func TestKeyOfFiles(t *testing.T) {
	key := func(files ...plan.File) plan.Key {
		return plan.Stage{Steps: []plan.Step{{Files: &plan.Files{Target: "/app", Files: files}}}}.Keys()[0]
	}
	of := reflect.TypeFor[plan.File]()
	for i := range of.NumField() {
		var f plan.File
		switch v := reflect.ValueOf(&f).Elem().Field(i); v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Int64:
			v.SetInt(1)
		case reflect.Uint32:
			v.SetUint(1)
		default:
			t.Fatalf("%s is a %s, which the test doesn't know", of.Field(i).Name, v.Kind())
		}
		if got, want := key(f) != key(plan.File{}), of.Field(i).Name != "Source"; got != want {
			t.Errorf("%s changes the key: %v, want %v", of.Field(i).Name, got, want)
		}
	}
	for _, same := range [][2][]plan.File{
		{{{Path: "ab"}}, {{Path: "a", Link: "b"}}},
		{{{Path: "a"}, {Path: "b"}}, {{Path: "b"}, {Path: "a"}}},
		{{{Path: "a"}}, {{Path: "a"}, {}}},
		{{{Size: 1}}, {{Size: -1}}},
	} {
		if key(same[0]...) == key(same[1]...) {
			t.Errorf("%v and %v have one key", same[0], same[1])
		}
	}
}

func TestDigest(t *testing.T) {
	tests := []struct {
		change string
		edit   func(*plan.Plan)
		want   bool // whether the digest changes
	}{
		{"nothing", func(*plan.Plan) {}, false},
		{"where a wheel comes from", func(p *plan.Plan) { p.Stages[0].Steps[1].Python.Wheels[0].URL = "x" }, false},
		{"how the parent is opened", func(p *plan.Plan) { p.Stages[0].Parent.Image = "x" }, false},
		{"the parent", func(p *plan.Plan) { p.Stages[0].Parent.Digest = "x" }, true},
		{"the platform", func(p *plan.Plan) { p.Platform = "linux/arm64" }, true},
		{"the time", func(p *plan.Plan) { p.Created = 1 }, true},
		{"the configuration", func(p *plan.Plan) { p.Stages[0].Config.User = "0" }, true},
		{"a name in the history", func(p *plan.Plan) { p.Stages[0].Steps[0].Name = "x" }, true},
		{"a file", func(p *plan.Plan) { p.Stages[0].Steps[2].Files.Files[1].Digest = "x" }, true},
	}
	for _, tt := range tests {
		p := demo()
		tt.edit(&p)
		if got := p.Digest(p.Keys()) != demo().Digest(demo().Keys()); got != tt.want {
			t.Errorf("changing %s changes the digest: %v, want %v", tt.change, got, tt.want)
		}
	}
}

func TestDiff(t *testing.T) {
	wheel := func(name, version string) plan.Wheel {
		return plan.Wheel{Name: name, Version: version, File: name + "-" + version + ".whl", Digest: "sha256:" + name + version}
	}
	tests := []struct {
		name string
		edit func(*plan.Stage)
		want [][]string
	}{
		{"nothing", func(*plan.Stage) {}, [][]string{nil, nil, nil}},
		{"a bump", func(s *plan.Stage) { s.Steps[1].Python.Wheels[0] = wheel("numpy", "2.2.0") }, [][]string{nil, {"numpy 2.1.0 → 2.2.0"}, nil}},
		{"another file", func(s *plan.Stage) { s.Steps[1].Python.Wheels[0].Digest = "sha256:ff" }, [][]string{nil, {"numpy 2.1.0 is another file"}, nil}},
		{"an addition", func(s *plan.Stage) {
			s.Steps[1].Python.Wheels = append(s.Steps[1].Python.Wheels, wheel("six", "1.17"))
		}, [][]string{nil, {"six 1.17 added"}, nil}},
		{"a replacement", func(s *plan.Stage) {
			s.Steps[1].Python.Wheels = []plan.Wheel{wheel("six", "1.17")}
		}, [][]string{nil, {"six 1.17 added"}, nil}},
		{"another Python", func(s *plan.Stage) { s.Steps[1].Python.Scheme.Interpreter = "/opt/python" }, [][]string{nil, {"the parent's Python moved to /opt/python"}, nil}},
		{"other directories", func(s *plan.Stage) { s.Steps[1].Python.Dirs = nil }, [][]string{nil, {"the parent's directories changed"}, nil}},
		{"a new layer", func(s *plan.Stage) {
			s.Steps = append(s.Steps, plan.Step{Files: &plan.Files{Target: "/srv"}})
		}, [][]string{nil, nil, nil, {"new"}}},
		{"files", func(s *plan.Stage) {
			s.Steps[2].Files.Files = []plan.File{{Path: "new.py"}, {Path: "run.py"}}
		}, [][]string{nil, nil, {"new.py added", "run.py changed", "data removed", "latest removed"}}},
		{"the compression", func(s *plan.Stage) { s.Steps[1].Compression = plan.Zstd }, [][]string{nil, {"compression changed to zstd"}, nil}},
		{"the owner", func(s *plan.Stage) { s.Steps[2].Files.UID = 0 }, [][]string{nil, nil, {"owner 1000:1000 → 0:1000"}}},
		{"the time", func(s *plan.Stage) { s.Steps[2].Files.ModTime = 9 }, [][]string{nil, nil, {"the time of the files changed (SOURCE_DATE_EPOCH)"}}},
		{"removals", func(s *plan.Stage) { s.Steps[0].Remove.Paths = []string{"/x"} }, [][]string{
			{"/x goes too", "/usr/local/lib/python3.11/dist-packages/numpy stays"}, nil, nil,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := demo().Image()
			tt.edit(&now)
			if diff := cmp.Diff(tt.want, plan.Diff(demo().Image(), now)); diff != "" {
				t.Errorf("Diff after %s (-want +got):\n%s", tt.name, diff)
			}
		})
	}
}

// golden compares got with testdata/name, or writes it there with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run go test -update to create it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

func apt(edit func(*plan.Apt)) plan.Stage {
	a := &plan.Apt{Parent: plan.Tree([]string{"sha256:1"}), Scripts: "native", Debs: []plan.Deb{
		{Name: "curl", Version: "1", Arch: "amd64", File: "curl_1.deb", URL: "http://a/curl_1.deb", Digest: "sha256:aa", Size: 1},
		{Name: "libc6", Version: "1", Arch: "amd64", Digest: "sha256:bb", Auto: true},
	}}
	edit(a)
	return plan.Stage{Steps: []plan.Step{{Name: "apt", Apt: a}}}
}

// TestAptPart compares a part with that of the same package, and with no other.
func TestAptPart(t *testing.T) {
	stage := func(name, digest string) plan.Stage {
		part := plan.Step{Name: "part", Apt: &plan.Apt{Part: true, Parent: "p", Debs: []plan.Deb{{Name: name, Version: "1", Digest: digest}}}}
		return plan.Stage{Steps: []plan.Step{part, apt(func(*plan.Apt) {}).Steps[0]}}
	}
	for _, tt := range []struct {
		name, digest string
		want         [][]string
	}{
		{"llvm", "sha256:cc", [][]string{nil, nil}},
		{"llvm", "sha256:dd", [][]string{{"llvm 1 is another file"}, nil}},
		{"jdk", "sha256:cc", [][]string{{"new"}, nil}},
	} {
		if diff := cmp.Diff(tt.want, plan.Diff(stage("llvm", "sha256:cc"), stage(tt.name, tt.digest))); diff != "" {
			t.Errorf("Diff with the part of %s (-want +got):\n%s", tt.name, diff)
		}
	}
	p := plan.Plan{Version: plan.Version, Platform: "linux/amd64", Stages: []plan.Stage{stage("llvm", "sha256:cc")}}
	p.Stages[0].Steps[0].Apt.Debs = nil
	var b bytes.Buffer
	if err := p.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Decode(&b); err == nil || !strings.Contains(err.Error(), "a part of 0 packages") {
		t.Errorf("Decode of a part of nothing = %v", err)
	}
}

// TestApt changes what an apt layer is made from.
func TestApt(t *testing.T) {
	was := apt(func(*plan.Apt) {})
	tests := []struct {
		change string
		edit   func(*plan.Apt)
		want   []string // what Diff says; nil: the key stays
	}{
		{"a mirror", func(a *plan.Apt) { a.Debs[0].URL, a.Debs[0].Size = "http://b/curl_1.deb", 2 }, nil},
		{"another file", func(a *plan.Apt) { a.Debs[0].Digest = "sha256:cc" }, []string{"curl 1 is another file"}},
		{"an upgrade", func(a *plan.Apt) { a.Debs[0].Version, a.Debs[0].Digest = "2", "sha256:cc" }, []string{"curl 1 → 2"}},
		{"one more, one less", func(a *plan.Apt) { a.Debs[1].Name = "libc7" }, []string{"libc7 1 added", "libc6 1 left"}},
		{"who asked", func(a *plan.Apt) { a.Debs[1].Auto = false }, []string{"libc6: whether it was asked for"}},
		{"what goes", func(a *plan.Apt) { a.Gone = []plan.Gone{{Name: "wget", Version: "2"}} }, []string{"wget 2 of the parent removed"}},
		{"what is below", func(a *plan.Apt) { a.Below = []string{"sha256:aa"} }, []string{"which packages have layers of their own"}},
		{"the parent", func(a *plan.Apt) { a.Parent = plan.Tree([]string{"sha256:1", "sha256:2"}) }, []string{"the parent changed"}},
		{"the scripts", func(a *plan.Apt) { a.Scripts = "none" }, []string{"scripts native → none"}},
		{"the time", func(a *plan.Apt) { a.Created = 1 }, []string{"the time of the files changed (SOURCE_DATE_EPOCH)"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff([][]string{tt.want}, plan.Diff(was, apt(tt.edit))); diff != "" {
			t.Errorf("Diff after changing %s (-want +got):\n%s", tt.change, diff)
		}
	}
}
