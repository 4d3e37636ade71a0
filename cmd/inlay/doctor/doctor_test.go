// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/cmd/inlay/doctor"
	"inlay/resolve/sandbox"
)

// machine is one with nothing installed, whose programs can be run.
func machine(t *testing.T) doctor.Machine {
	t.Helper()
	return doctor.Machine{
		LookPath: func(string) (string, error) { return "", exec.ErrNotFound },
		Output: func(ctx context.Context, program string, args ...string) (string, error) {
			b, err := exec.CommandContext(ctx, program, args...).Output()
			return strings.TrimSpace(string(b)), err
		},
		Getenv: func(string) string { return "" },
		Now:    func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) },
		Home:   t.TempDir(), Temp: t.TempDir(), Root: t.TempDir(),
	}
}

// only runs a check that must find one thing.
func only(t *testing.T, c doctor.Check) doctor.Finding {
	t.Helper()
	found := c.Run(t.Context())
	if len(found) != 1 {
		t.Fatalf("%s found %d things, want 1: %+v", c.Name, len(found), found)
	}
	if f := found[0]; f.Status != doctor.OK && f.Fix == "" {
		t.Errorf("%s says nothing of what to do about %q", c.Name, f.Found)
	}
	return found[0]
}

func TestExamine(t *testing.T) {
	slow := make(chan struct{})
	checks := []doctor.Check{
		{Name: "first", Run: func(context.Context) []doctor.Finding { <-slow; return doctor.One(doctor.OK, "a", "") }},
		{Name: "second", Run: func(context.Context) []doctor.Finding {
			close(slow)
			return append(doctor.One(doctor.Note, "b", "do"), doctor.One(doctor.Problem, "c", "do")...)
		}},
	}
	got, err := doctor.Examine(t.Context(), checks)
	want := []doctor.Finding{
		{Check: "first", Status: "ok", Found: "a"},
		{Check: "second", Status: "note", Found: "b", Fix: "do"},
		{Check: "second", Status: "problem", Found: "c", Fix: "do"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Examine: %v (-want +got)\n%s", err, diff)
	}
	if doctor.Healthy(got) || !doctor.Healthy(got[:2]) {
		t.Error("Healthy tells a note from a problem wrongly")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := doctor.Examine(ctx, checks[:0]); !errors.Is(err, context.Canceled) {
		t.Errorf("Examine with a cancelled context = %v, want context.Canceled", err)
	}
}

// The check of the cache leaves an empty one behind.
func TestCache(t *testing.T) {
	m, root := machine(t), filepath.Join(t.TempDir(), "cache")
	if f := only(t, m.Cache(root)); f.Status == doctor.Problem || !strings.HasPrefix(f.Found, root+" holds ") {
		t.Errorf("a new cache: %+v", f)
	}
	if left, err := filepath.Glob(root + "/uv/tmp/*"); err != nil || len(left) > 0 {
		t.Errorf("the check left %v behind (%v)", left, err)
	}
	m.Output = func(context.Context, string, ...string) (string, error) { return "", os.ErrPermission }
	if f := only(t, m.Cache(root)); f.Status != doctor.Problem || !strings.Contains(f.Found, "programs don't run there") {
		t.Errorf("a cache where nothing runs: %+v, want a problem", f)
	}
	foreign := t.TempDir()
	if err := os.Mkdir(filepath.Join(foreign, "layers"), 0o755); err != nil {
		t.Fatal(err)
	}
	if f := only(t, m.Cache(foreign)); f.Status != doctor.Problem || f.Fix != "name an empty directory with --cache-dir DIR" {
		t.Errorf("somebody else's directory: %+v, want a problem with the error's own hint", f)
	}
}

func TestTempDir(t *testing.T) {
	m := machine(t)
	if f := only(t, m.TempDir()); f.Status != doctor.OK {
		t.Errorf("a directory as any other: %+v", f)
	}
	if left, err := os.ReadDir(m.Temp); err != nil || len(left) > 0 {
		t.Errorf("the check left %v behind (%v)", left, err)
	}
	m.Output = func(context.Context, string, ...string) (string, error) { return "", os.ErrPermission }
	if f := only(t, m.TempDir()); f.Status != doctor.Note {
		t.Errorf("a directory where nothing runs: %+v, want a note", f)
	}
	m.Temp = filepath.Join(m.Temp, "nowhere")
	if f := only(t, m.TempDir()); f.Status != doctor.Problem {
		t.Errorf("no directory: %+v, want a problem", f)
	}
}

func TestLogins(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string // below the home directory
		env   map[string]string
		want  []string
	}{
		{"none", nil, nil, []string{"note there are none: registries are spoken to anonymously"}},
		{
			"Docker's",
			map[string]string{".docker/config.json": `{"auths": {"b": {"auth": "secret"}, "a": {}}}`, "p.json": "{"},
			map[string]string{"REGISTRY_AUTH_FILE": "HOME/p.json"},
			[]string{"ok HOME/.docker/config.json has logins for a, b"},
		},
		{
			"podman's",
			map[string]string{"p.json": `{"auths": {"c": {}}}`},
			map[string]string{"REGISTRY_AUTH_FILE": "HOME/p.json"},
			[]string{"ok HOME/p.json has logins for c"},
		},
		{
			"podman's, of a session",
			map[string]string{"run/containers/auth.json": `{"auths": {"c": {}}}`},
			map[string]string{"XDG_RUNTIME_DIR": "HOME/run"},
			[]string{"ok HOME/run/containers/auth.json has logins for c"},
		},
		{
			"Docker's elsewhere, of helpers",
			map[string]string{"d/config.json": `{"credsStore": "here", "credHelpers": {"x": "gone"}}`},
			map[string]string{"DOCKER_CONFIG": "HOME/d"},
			[]string{
				"ok HOME/d/config.json has no logins of its own", "ok /bin/docker-credential-here has the logins for all registries",
				"note docker-credential-gone, which has the logins for x, is not on the PATH",
			},
		},
		{"damaged", map[string]string{".docker/config.json": "secret"}, nil, []string{"problem HOME/.docker/config.json is no JSON: invalid character 's' looking for beginning of value"}},
	}
	for _, tt := range tests {
		m := machine(t)
		m.Getenv = func(name string) string { return strings.ReplaceAll(tt.env[name], "HOME", m.Home) }
		m.LookPath = func(name string) (string, error) {
			if name != "docker-credential-here" {
				return "", exec.ErrNotFound
			}
			return "/bin/" + name, nil
		}
		for name, text := range tt.files {
			path := filepath.Join(m.Home, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, f := range m.Logins().Run(t.Context()) {
			got = append(got, f.Status+" "+strings.ReplaceAll(f.Found, m.Home, "HOME"))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: Logins (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestIndex(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/simple/uv/" {
			t.Errorf("asked for %s, want the page of uv", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	for code, want := range map[int]string{200: "ok", 404: "note", 401: "problem", 403: "problem", 503: "problem"} {
		status = code
		if f := doctor.Index(t.Context(), nil, server.URL+"/simple/", "check it"); f.Status != want || (f.Fix == "") != (want == "ok") {
			t.Errorf("an index that answers %d: %+v, want %s, and a fix unless it is ok", code, f, want)
		}
	}
	server.Close()
	if f := doctor.Index(t.Context(), nil, server.URL, "check it"); f.Status != doctor.Problem || f.Fix != "check it" {
		t.Errorf("an index that is not there: %+v, want a problem", f)
	}
}

func TestClock(t *testing.T) {
	m := machine(t)
	created := func() (int64, error) { return 86400, nil }
	if f := only(t, m.Clock(created)); f.Found != "images are dated 1970-01-02T00:00:00Z" {
		t.Errorf("the right time: %+v", f)
	}
	m.Now = func() time.Time { return time.Unix(0, 0) }
	if f := only(t, m.Clock(created)); f.Status != doctor.Problem {
		t.Errorf("a clock that was never set: %+v, want a problem", f)
	}
}

func TestEmulation(t *testing.T) {
	m := machine(t)
	if f := only(t, m.Emulation()); f.Status != doctor.Note {
		t.Errorf("a kernel without binfmt_misc: %+v, want a note", f)
	}
	dir := filepath.Join(m.Root, "proc/sys/fs/binfmt_misc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"register", "qemu-aarch64", "python3.11"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if f := only(t, m.Emulation()); f.Status != doctor.OK || f.Found != "the kernel runs programs for aarch64 too" {
		t.Errorf("a kernel with qemu: %+v", f)
	}
}

func TestChroot(t *testing.T) {
	if found := doctor.Chroot(sandbox.Rung{Name: "chroot", Why: "this user is not root"}); found != nil {
		t.Errorf("where it doesn't work doctor says %v", found)
	}
	want := []doctor.Finding{{
		Status: "note", Found: "commands would run with --sandbox chroot, which is never chosen by itself: WEAK: it is",
		Fix: "give --sandbox chroot where the commands are trusted that far",
	}}
	if diff := cmp.Diff(want, doctor.Chroot(sandbox.Rung{Name: "chroot", Works: true, Why: "WEAK: it is"})); diff != "" {
		t.Errorf("where it works (-want +got):\n%s", diff)
	}
}

func TestRungs(t *testing.T) {
	notRoot := sandbox.Rung{Name: "root", Why: "this user is not root"}
	works := sandbox.Rung{Name: "subids", Works: true, Why: "as it should be"}
	tests := []struct {
		name  string
		rungs []sandbox.Rung
		want  doctor.Finding
	}{
		{"the strongest", []sandbox.Rung{works}, doctor.Finding{Status: "ok", Found: "commands are isolated as subids: as it should be"}},
		{"the strongest for this user", []sandbox.Rung{notRoot, works}, doctor.Finding{
			Status: "ok", Found: "commands are isolated as subids: as it should be (not root: this user is not root)",
		}},
		{"a weaker one", []sandbox.Rung{notRoot, {Name: "subids", Why: "no ids", Fix: "add some"}, {Name: "one-id", Works: true, Why: "one id"}}, doctor.Finding{
			Status: "note", Found: "commands are isolated as one-id: one id (not root: this user is not root; not subids: no ids)", Fix: "add some",
		}},
		{"none", []sandbox.Rung{notRoot, {Name: "copy", Why: "denied", Fix: "run as root"}}, doctor.Finding{
			Status: "note", Found: "no command can be isolated, and so none is run but uv and pip, as this user: not root: this user is not root; not copy: denied", Fix: "run as root",
		}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff([]doctor.Finding{tt.want}, doctor.Rungs(tt.rungs)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
