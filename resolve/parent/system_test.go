// SPDX-License-Identifier: Apache-2.0

package parent_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/parent"
	"inlay/resolve/plan"
)

func accounts(tb testing.TB) *parent.Inventory {
	tb.Helper()
	passwd := "root:x:0:0:root:/root:/bin/bash\n# comment\n\nbroken\nworse:x:y:z\ndaemon:*:1:1::/usr/sbin:/usr/sbin/nologin\n" +
		"app:x:1000:2000:The App:/home/app:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n+nis\n"
	return inspect(tb, parent.Options{Image: image(tb, nil, layer(tb, file("etc/passwd", passwd),
		file("etc/group", "root:x:0:\nstaff:x:50:app,daemon\nadm:x\napps:x:2000:\n")))})
}

func TestAccountsAreListed(t *testing.T) {
	inv := accounts(t)
	users := []parent.User{
		{Name: "root", Home: "/root"},
		{Name: "daemon", UID: 1, GID: 1, Home: "/usr/sbin"},
		{Name: "app", UID: 1000, GID: 2000, Home: "/home/app"},
		{Name: "www-data", UID: 33, GID: 33, Home: "/var/www"},
	}
	if diff := cmp.Diff(users, inv.Users); diff != "" {
		t.Errorf("Users: (-want +got)\n%s", diff)
	}
	groups := []parent.Group{
		{Name: "root", Members: []string{}},
		{Name: "staff", GID: 50, Members: []string{"app", "daemon"}},
		{Name: "apps", GID: 2000, Members: []string{}},
	}
	if diff := cmp.Diff(groups, inv.Groups); diff != "" {
		t.Errorf("Groups: (-want +got)\n%s", diff)
	}
}

// TestAccount holds what docker, podman and containerd make of a user.
func TestAccount(t *testing.T) {
	tests := []struct {
		user     string
		uid, gid int
		err      string
		near     []string
	}{
		{user: ""},
		{user: "root"},
		{user: "app", uid: 1000, gid: 2000},
		{user: "app:", uid: 1000, gid: 2000},
		{user: "app:staff", uid: 1000, gid: 50},
		{user: "app:7", uid: 1000, gid: 7},
		{user: "1000", uid: 1000, gid: 2000}, // it has an entry, and so that one's group
		{user: "1001", uid: 1001, gid: 0},
		{user: "1001:staff", uid: 1001, gid: 50},
		{user: "1001:1002", uid: 1001, gid: 1002},
		{user: ":staff", uid: 0, gid: 50},
		{user: "ap", err: `user "ap" of parent image "example.com/base:1": there is no ap in its /etc/passwd`, near: []string{"app"}},
		{user: "www", err: `user "www" of parent image "example.com/base:1": there is no www in its /etc/passwd`, near: []string{"www-data"}},
		{user: "app:stuff", err: `user "app:stuff" of parent image "example.com/base:1": there is no stuff in its /etc/group`, near: []string{"staff"}},
		{user: "nobody-like-this", err: `user "nobody-like-this" of parent image "example.com/base:1": there is no nobody-like-this in its /etc/passwd`},
		{user: "2147483648", err: `user "2147483648" of parent image "example.com/base:1": 2147483648 is more than the highest id, 2147483647`},
		{user: "-1", err: `user "-1" of parent image "example.com/base:1": there is no -1 in its /etc/passwd`},
	}
	inv := accounts(t)
	for _, tt := range tests {
		uid, gid, err := inv.Account(tt.user)
		if tt.err == "" {
			if uid != tt.uid || gid != tt.gid || err != nil {
				t.Errorf("Account(%q) = %d, %d, %v; want %d, %d", tt.user, uid, gid, err, tt.uid, tt.gid)
			}
			continue
		}
		var ue *parent.UserError
		if !errors.As(err, &ue) || ue.Error() != tt.err {
			t.Errorf("Account(%q) = %v, want the UserError %q", tt.user, err, tt.err)
			continue
		}
		if diff := cmp.Diff(tt.near, ue.Near); diff != "" {
			t.Errorf("Account(%q) suggests: (-want +got)\n%s", tt.user, diff)
		}
	}
}

func TestUserErrorHint(t *testing.T) {
	for _, tt := range []struct {
		near []string
		want string
	}{
		{nil, "numbers need no entry in the image: `user: 1000:1000`"},
		{[]string{"app", "apt"}, "did you mean app or apt? numbers need no entry in the image: `user: 1000:1000`"},
	} {
		if got := (&parent.UserError{Near: tt.near}).Hint(); got != tt.want {
			t.Errorf("Hint with %v = %q, want %q", tt.near, got, tt.want)
		}
	}
}

func tree(tb testing.TB) *parent.Inventory {
	tb.Helper()
	return inspect(tb, parent.Options{Image: image(tb, nil, layer(tb,
		link("bin", "usr/bin"), link("usr/local/man", "share/man"), file("usr/local/share/man/x", ""), link("app", "/srv/app"),
		dir("usr/bin", 0o755, 0, 0), dir("usr/local", 0o2775, 0, 50), dir("usr/local/lib/python3.12/site-packages/pkg", 0o700, 1000, 1000),
		dir("srv", 0o750, 0, 0), dir("srv/app/data", 0o1777, 33, 33), link("srv/app/logs", "../../var/log/app"), dir("var/log/app", 0o770, 5, 5),
		dir("home/app", 0o700, 1000, 1000), link("etc/file-link", "../usr/local/share/man/x"), link("dangling", "nowhere"),
		link("chain", "bin"), link("usr/bin/X11", "."),
		dir("proc", 0o555, 0, 0), dir("proc/1", 0o555, 0, 0), link("dev/fd", "/proc/self/fd"), link("sys/x", "/usr"), link("nix/store/x", "/usr")))})
}

func TestDirectories(t *testing.T) {
	inv := tree(t)
	links := []plan.Link{
		{Path: "/app", Target: "/srv/app"},
		{Path: "/bin", Target: "/usr/bin"},
		{Path: "/chain", Target: "/usr/bin"},
		{Path: "/srv/app/logs", Target: "/var/log/app"},
		{Path: "/usr/bin/X11", Target: "/usr/bin"},
		{Path: "/usr/local/man", Target: "/usr/local/share/man"},
	}
	if diff := cmp.Diff(links, inv.Links); diff != "" {
		t.Errorf("Links: (-want +got)\n%s", diff)
	}
	dirs := []string{
		"/home/app -rwx------ 1000:1000", "/srv -rwxr-x--- 0:0", "/srv/app/data trwxrwxrwx 33:33", "/usr/local grwxrwxr-x 0:50",
		"/usr/local/lib/python3.12/site-packages/pkg -rwx------ 1000:1000", "/var/log/app -rwxrwx--- 5:5",
	}
	if diff := cmp.Diff(dirs, describe(inv.Dirs)); diff != "" {
		t.Errorf("Dirs: (-want +got)\n%s", diff)
	}
}

func describe(dirs []plan.Dir) (lines []string) {
	for _, d := range dirs {
		lines = append(lines, fmt.Sprintf("%s %v %d:%d", d.Path, d.Mode, d.UID, d.GID))
	}
	return lines
}

func TestResolve(t *testing.T) {
	inv := tree(t)
	for p, want := range map[string]string{
		"/bin": "/usr/bin", "/bin/python3": "/usr/bin/python3", "/chain/x": "/usr/bin/x", "/binary": "/binary", "/app/logs/../x": "/srv/app/x",
		"/app/logs/today/x": "/var/log/app/today/x", "/new/path": "/new/path", "/usr/bin/X11/X11/x": "/usr/bin/x", "/": "/",
	} {
		if got := inv.Resolve(p); got != want {
			t.Errorf("Resolve(%q) = %q, want %q", p, got, want)
		}
	}
}

func TestBase(t *testing.T) {
	tests := []struct {
		paths []string
		links []string
		dirs  []string
	}{
		{paths: nil},
		{paths: []string{"/new/place"}},
		{paths: []string{"/app"}, links: []string{"/app", "/srv/app/logs"}, dirs: []string{"/srv", "/srv/app/data", "/var/log/app"}},
		{paths: []string{"/app/src"}, links: []string{"/app"}, dirs: []string{"/srv"}},
		{paths: []string{"/app/logs/x"}, links: []string{"/app", "/srv/app/logs"}, dirs: []string{"/var/log/app"}},
		{paths: []string{"/usr/local/lib/python3.12/site-packages", "/usr/local/bin"}, dirs: []string{"/usr/local", "/usr/local/lib/python3.12/site-packages/pkg"}},
		{paths: []string{"/usr/local"}, links: []string{"/usr/local/man"}, dirs: []string{"/usr/local", "/usr/local/lib/python3.12/site-packages/pkg"}},
		{paths: []string{"/chain/tool"}, links: []string{"/chain"}},
		{paths: []string{"/home"}, dirs: []string{"/home/app"}},
		{
			paths: []string{"/"}, links: []string{"/app", "/bin", "/chain", "/srv/app/logs", "/usr/bin/X11", "/usr/local/man"},
			dirs: []string{"/home/app", "/srv", "/srv/app/data", "/usr/local", "/usr/local/lib/python3.12/site-packages/pkg", "/var/log/app"},
		},
	}
	inv := tree(t)
	for _, tt := range tests {
		base := inv.Base(tt.paths...)
		var links, dirs []string
		for _, l := range base.Links {
			links = append(links, l.Path)
		}
		for _, d := range base.Dirs {
			dirs = append(dirs, d.Path)
		}
		if diff := cmp.Diff([][]string{tt.links, tt.dirs}, [][]string{links, dirs}); diff != "" {
			t.Errorf("Base(%q): (-want +got)\n%s", tt.paths, diff)
		}
		for _, p := range tt.paths {
			if got, want := base.Resolve(p), inv.Resolve(p); got != want {
				t.Errorf("Base(%q).Resolve(%q) = %q, want %q as with all links", tt.paths, p, got, want)
			}
		}
	}
}

func TestUnusualRoot(t *testing.T) {
	inv := inspect(t, parent.Options{Image: image(t, nil, layer(t, dir(".", 0o700, 1, 2)))})
	if diff := cmp.Diff([]plan.Dir{{Path: "/", Mode: fs.FileMode(0o700), UID: 1, GID: 2}}, inv.Base("/app").Dirs); diff != "" {
		t.Errorf("Base(/app).Dirs: (-want +got)\n%s", diff)
	}
}

func TestPackages(t *testing.T) {
	const status = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2\nDescription: x\n Version: 9\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n" +
		"Package: base\nStatus: install ok unpacked\nArchitecture: all\nVersion: 2"
	tests := []struct {
		name  string
		items []item
		want  []parent.Package
	}{
		{"none", []item{file("etc/passwd", "")}, nil},
		{"Debian", []item{file("var/lib/dpkg/status", status), file("var/lib/dpkg/info/zlib1g:amd64.list", "")}, []parent.Package{
			{Name: "base", Version: "2", Arch: "all", Path: "/var/lib/dpkg/status"},
			{Name: "zlib1g", Version: "1:1.2", Arch: "amd64", Path: "/var/lib/dpkg/info/zlib1g:amd64.list"},
		}},
		{"distroless", []item{file("var/lib/dpkg/status.d/tz", "Package: tzdata\nArchitecture: all\nVersion: 2025b\n")}, []parent.Package{
			{Name: "tzdata", Version: "2025b", Arch: "all", Path: "/var/lib/dpkg/status.d/tz"},
		}},
		{"Alpine, seen through a link", []item{link("lib", "usr/lib"), file("usr/lib/apk/db/installed", "C:Q1\nP:musl\nV:1.2.5-r9\nA:x86_64\n\nP:ssl\nV:3\nA:x86_64\n")}, []parent.Package{
			{Name: "musl", Version: "1.2.5-r9", Arch: "x86_64", Path: "/usr/lib/apk/db/installed"},
			{Name: "ssl", Version: "3", Arch: "x86_64", Path: "/usr/lib/apk/db/installed"},
		}},
	}
	for _, tt := range tests {
		got := inspect(t, parent.Options{Image: image(t, nil, layer(t, tt.items...))}).Packages
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: Packages (-want +got)\n%s", tt.name, diff)
		}
	}
}

// The digests of a layer's files are read once, and then the store has them.
func TestDigests(t *testing.T) {
	img := &watched{Image: image(t, nil, layer(t, file("a", "one"), link("b", "a"), file("empty", "")))}
	store := newMemory()
	want := map[string]parent.Digest{"a": sha256.Sum256([]byte("one")), "empty": sha256.Sum256(nil)}
	for range 2 {
		got, err := inspect(t, parent.Options{Image: img, Store: store}).Digests(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Digests(0): (-want +got)\n%s", diff)
		}
	}
	if n := img.opened.Load(); n != 2 {
		t.Errorf("the layer was read %d times, want 2: for the inventory and for the digests", n)
	}
}
