// SPDX-License-Identifier: Apache-2.0

package debian_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/debian"
	"inlay/assemble/overlay"
	"inlay/assemble/script"
)

// system returns a tree with the programs of commands, and what runs scripts
// over it.
func system(t *testing.T) (*overlay.Tree, func(text string) error) {
	t.Helper()
	return systemOn(t, 20000)
}

func systemOn(t *testing.T, day int64) (*overlay.Tree, func(text string) error) {
	t.Helper()
	tree := overlay.New(nil)
	for _, d := range []string{"usr/sbin", "usr/bin", "usr/share/man", "etc/ssl/certs", "etc/default", "var/lib/ucf", "tmp", "home"} {
		check(t, tree.MkdirAll(d, 0o755))
	}
	files := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\nusers:x:100:\n",
		"etc/shadow": "root:*:1:0:99999:7:::\n", "etc/gshadow": "root:*::\nusers:*::\n",
		"usr/bin/vim": "x", "usr/bin/nano": "x", "usr/share/man/vim.1": "x",
	}
	debconf, err := debian.NewDebconf(tree)
	check(t, err)
	commands := (&debian.System{Day: day, Debconf: debconf}).Commands()
	for name := range commands {
		if !strings.HasPrefix(name, script.Internal) {
			files["usr/sbin/"+name] = "\x7fELF"
		}
	}
	for name, body := range files {
		check(t, tree.WriteFile(name, []byte(body), 0o755))
	}
	debconf.Load("x", "Template: x/colour\nType: select\nChoices: red, ${more}\nDefault: red\nDescription: colour\n")
	return tree, func(text string) error {
		m := &script.Machine{
			Tree: tree, Commands: commands, Env: []string{"PATH=" + script.Path},
			Sourced: map[string]string{debian.Confmodule: debian.ConfmoduleText()},
		}
		return m.Run(t.Context(), "postinst", []byte("set -e\n"+text), "configure", "")
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, tree *overlay.Tree, name, body string) {
	t.Helper()
	b, err := tree.ReadFile(name)
	if diff := cmp.Diff(body, string(b)); diff != "" || err != nil {
		t.Errorf("%s, %v (-want +got):\n%s", name, err, diff)
	}
}

func TestAlternatives(t *testing.T) {
	tree, run := system(t)
	const vim = "update-alternatives --install /usr/bin/editor editor /usr/bin/vim 50 --slave /usr/share/man/editor.1 editor.1 /usr/share/man/vim.1\n"
	check(t, run("update-alternatives --install /usr/bin/editor editor /usr/bin/nano 40\n"+vim+vim))
	want(t, tree, "var/lib/dpkg/alternatives/editor", "auto\n/usr/bin/editor\neditor.1\n/usr/share/man/editor.1\n\n/usr/bin/nano\n40\n\n/usr/bin/vim\n50\n/usr/share/man/vim.1\n\n")
	links := func(want map[string]string) {
		t.Helper()
		for name, target := range want {
			if f, _ := tree.Lstat(name); f.Link != target {
				t.Errorf("%s leads to %q, want %q", name, f.Link, target)
			}
		}
	}
	links(map[string]string{
		"usr/bin/editor": "/etc/alternatives/editor", "etc/alternatives/editor": "/usr/bin/vim",
		"usr/share/man/editor.1": "/etc/alternatives/editor.1", "etc/alternatives/editor.1": "/usr/share/man/vim.1",
	})
	check(t, run("update-alternatives --set editor /usr/bin/nano"))
	links(map[string]string{"etc/alternatives/editor": "/usr/bin/nano", "usr/share/man/editor.1": ""})
	check(t, run("update-alternatives --remove editor /usr/bin/nano\n[ \"$(update-alternatives --list editor)\" = /usr/bin/vim ]"))
	links(map[string]string{"etc/alternatives/editor": "/usr/bin/vim"})
	check(t, run("update-alternatives --remove editor /usr/bin/vim\nupdate-alternatives --display editor || [ $? = 2 ]"))
	if tree.Exists("usr/bin/editor") || tree.Exists("etc/alternatives/editor") || tree.Exists("var/lib/dpkg/alternatives/editor") {
		t.Error("the alternative without choices is still there")
	}
}

func TestAccounts(t *testing.T) {
	tree, run := system(t)
	check(t, run(`addgroup --system --quiet _ssh
adduser --system --group --no-create-home --home /nonexistent --quiet daemon1
adduser --quiet --system --home /home/d2 --shell /bin/sh --gecos "D 2" d2
adduser d2 _ssh
groupadd -r g3
useradd -r -g g3 -d /var/d3 -s /usr/sbin/nologin d3
usermod -d /var/d4 d3
groupmod -n g4 g3
adduser --system d2`))
	want(t, tree, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon1:x:100:102::/nonexistent:/usr/sbin/nologin\nd2:x:101:65534:D 2:/home/d2:/bin/sh\n"+
		"d3:x:999:999::/var/d4:/usr/sbin/nologin\n")
	want(t, tree, "etc/group", "root:x:0:\nusers:x:100:\n_ssh:x:101:d2\ndaemon1:x:102:\ng4:x:999:\n")
	want(t, tree, "etc/shadow", "root:*:1:0:99999:7:::\ndaemon1:!:20000::::::\nd2:!:20000::::::\nd3:!:20000::::::\n")
	want(t, tree, "etc/gshadow", "root:*::\nusers:*::\n_ssh:!::d2\ndaemon1:!::\ng4:!::\n")
	if f, err := tree.Stat("home/d2"); err != nil || f.UID != 101 || f.GID != 65534 {
		t.Errorf("the home is %+v, %v", f, err)
	}
	var unknown *script.UnsupportedError
	if err := run("adduser somebody || true"); !errors.As(err, &unknown) {
		t.Errorf("adduser of a person = %v, want an *UnsupportedError", err)
	}
}

func TestSysusers(t *testing.T) {
	tree, run := system(t)
	check(t, tree.MkdirAll("usr/lib/sysusers.d", 0o755))
	check(t, tree.WriteFile("usr/lib/sysusers.d/x.conf", []byte("# comment\ng net 50\nu x - \"The X\" /var/x\nm x net\n"), 0o644))
	check(t, run("systemd-sysusers x.conf"))
	want(t, tree, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nx:x:999:999:The X:/var/x:/usr/sbin/nologin\n")
	want(t, tree, "etc/group", "root:x:0:\nusers:x:100:\nnet:x:50:x\nx:x:999:\n")
}

func TestDebconf(t *testing.T) {
	_, run := system(t)
	check(t, run(`. /usr/share/debconf/confmodule
db_version 2.0
db_get x/colour; [ "$RET" = red ]
db_subst x/colour more blue, green
db_metaget x/colour choices; [ "$RET" = "red, blue, green" ]
db_input high x/colour || [ $? = 30 ]
db_go
db_set x/colour blue; db_get x/colour; [ "$RET" = blue ]
db_fset x/colour seen true; db_fget x/colour seen; [ "$RET" = true ]
db_reset x/colour; db_get x/colour; [ "$RET" = red ]
db_get x/none || [ $? = 10 ]
db_stop`))
}

func TestSmallOnes(t *testing.T) {
	tree, run := system(t)
	check(t, tree.WriteFile("usr/share/default", []byte("conf\n"), 0o644))
	check(t, run(`ucf --three-way /usr/share/default /etc/conf
ucfr pkg /etc/conf
update-locale --no-checks LANG
update-locale LANG=C.UTF-8
setcap cap_net_raw+ep /usr/bin/vim
python3 -E /usr/lib/python3/py_compile.py x
deb-systemd-helper enable x.service`))
	want(t, tree, "etc/conf", "conf\n")
	want(t, tree, "var/lib/ucf/registry", "pkg\t/etc/conf\n")
	want(t, tree, "etc/default/locale", "#  File generated by update-locale\nLANG=C.UTF-8\n")
	if f, _ := tree.Stat("usr/bin/vim"); f.Capability != "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("the capabilities are %q", f.Capability)
	}
	check(t, tree.WriteFile("usr/share/default", []byte("other\n"), 0o644))
	var unknown *script.UnsupportedError
	if err := run("ucf /usr/share/default /etc/conf || true"); !errors.As(err, &unknown) {
		t.Errorf("ucf of a file that differs = %v, want an *UnsupportedError", err)
	}
}

func TestShadowconfig(t *testing.T) {
	tree, run := system(t)
	check(t, tree.WriteFile("etc/passwd", []byte("root:*:0:0:root:/root:/bin/sh\n"), 0o644))
	check(t, tree.WriteFile("etc/group", []byte("root:*:0:\nshadow:*:42:root\n"), 0o644))
	check(t, tree.Remove("etc/shadow"))
	check(t, tree.Remove("etc/gshadow"))
	check(t, run("shadowconfig on"))
	want(t, tree, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	want(t, tree, "etc/shadow", "root:*:20000:0:99999:7:::\n")
	want(t, tree, "etc/group", "root:x:0:\nshadow:x:42:root\n")
	want(t, tree, "etc/gshadow", "root:*::\nshadow:*::root\n")
	if f, err := tree.Stat("etc/shadow"); err != nil || f.GID != 42 || f.Mode != 0o640 {
		t.Errorf("/etc/shadow is %+v, %v", f, err)
	}
}

// Accounts of the first day have no day of a change: 0 would ask for a new
// password at each login.
func TestFirstDay(t *testing.T) {
	tree, run := systemOn(t, 0)
	check(t, tree.WriteFile("etc/passwd", []byte("root:*:0:0:root:/root:/bin/sh\n"), 0o644))
	check(t, tree.Remove("etc/shadow"))
	check(t, run("shadowconfig on; useradd -r daemon1"))
	want(t, tree, "etc/shadow", "root:*::0:99999:7:::\ndaemon1:!:::::::\n")
}

// update-shells knows the shells of Debian itself, those of packages, and both
// names of each where directories are merged.
func TestUpdateShells(t *testing.T) {
	tree, run := system(t)
	check(t, tree.Symlink("usr/bin", "bin"))
	check(t, tree.MkdirAll("usr/share/debianutils/shells.d", 0o755))
	for name, body := range map[string]string{
		"etc/shells": "# shells\n/bin/sh\n", "var/lib/shells.state": "/bin/sh\n/usr/bin/sh\n",
		"usr/share/debianutils/shells": "# shells\n/bin/sh\n", "usr/share/debianutils/shells.d/zsh": "/bin/zsh\n",
	} {
		check(t, tree.WriteFile(name, []byte(body), 0o644))
	}
	check(t, run("update-shells"))
	want(t, tree, "etc/shells", "# shells\n/bin/sh\n/bin/zsh\n/usr/bin/zsh\n") // somebody has removed /usr/bin/sh
	want(t, tree, "var/lib/shells.state", "/bin/sh\n/usr/bin/sh\n/bin/zsh\n/usr/bin/zsh\n")
}
