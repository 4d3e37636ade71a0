// SPDX-License-Identifier: Apache-2.0

package script_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"inlay/assemble/overlay"
	"inlay/assemble/script"
)

// machine returns one over a small tree in which all programs are there.
func machine(t *testing.T) *script.Machine {
	t.Helper()
	tree := overlay.New(nil)
	for _, d := range []string{"usr/bin", "etc", "tmp", "root", "dev"} {
		if err := tree.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range strings.Fields("rm rmdir mkdir chmod chown ln mv cp touch install mktemp cat tee readlink realpath stat find ls basename dirname " +
		"md5sum cmp xargs getent id run-parts mountpoint grep egrep sed awk sort uniq tr cut head tail wc expr seq date uname env which curl sleep") {
		put(t, tree, "usr/bin/"+p, "\x7fELF")
	}
	put(t, tree, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nmail:x:8:8::/:/bin/false\n")
	put(t, tree, "etc/group", "root:x:0:\nmail:x:8:\n")
	return &script.Machine{Tree: tree, Env: []string{"PATH=" + script.Path, "GREETING=hello"}}
}

func put(t *testing.T, tree *overlay.Tree, name, body string) {
	t.Helper()
	if err := tree.WriteFile(name, []byte(body), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestScripts runs scripts that write /out.
func TestScripts(t *testing.T) {
	tests := []struct{ text, want string }{
		{`echo $GREETING $HOME $1 >/out`, "hello /root configure\n"},
		{`cd /etc; pwd >/out; ls >>/out`, "/etc\ngroup\npasswd\n"},
		{`for i in /etc/*; do echo "$i"; done >/out`, "/etc/group\n/etc/passwd\n"},
		{`if [ -e /etc/passwd ] && ! [ -d /nothing ] && [ -x /usr/bin/sed ]; then echo yes >/out; fi`, "yes\n"},
		{"cat >/out <<EOF\na $GREETING\nEOF", "a hello\n"},
		{`echo "b a b" | tr ' ' '\n' | sort -u >/out`, "a\nb\n"},
		{`printf '%s\n' b a a | sort | uniq -c | sed -e 's/^[[:space:]]*2[[:space:]]*/two /' >/out`, "two a\n      1 b\n"},
		{`set -e; x=$(grep -c root /etc/passwd); false || echo "$x $?" >/out`, "1 1\n"},
		{`command -v sed >/out; command -v nothing || echo none >>/out`, "/usr/bin/sed\nnone\n"},
		{`nothing || echo $? >/out`, "127\n"},
		{`[ -x "" ] || [ -e "" ] || [ -d "" ] || [ -f "$(command -v nothing)" ] || echo no >/out`, "no\n"},
		{`umask 077; mkdir /d; touch /d/f; stat -c '%a' /d /d/f >/out; umask >>/out`, "700\n600\n0077\n"},
		{`mkdir -m 1777 /d; chmod u-w,g=u /d; stat -c %a:%u:%g /d >/out; chown mail:mail /d; stat -c '%U:%G' /d >>/out`, "1557:0:0\nmail:mail\n"},
		{`echo 1 >/a; cp -p /a /b; mv /b /c; ln -s c /d; readlink /d >/out; readlink -f /d >>/out; cat /d >>/out`, "c\n/c\n1\n"},
		{
			`mkdir -p /x/y; touch /x/y/z.so /x/a.so; find /x -name '*.so' -type f | sort >/out; find /x -type f -delete; rmdir -p /x/y; ls / >>/out`,
			"/x/a.so\n/x/y/z.so\ndev\netc\nout\nroot\ntmp\nusr\n",
		},
		{`echo 'Version: 1.2-3' | awk '/^Version:/ {print $2}' >/out; echo 'LANG="C"' | awk '/^LANG=/ {gsub("\"", ""); sub("LANG=", ""); l=$0;} END {print l}' >>/out`, "1.2-3\nC\n"},
		{
			`printf 'a\nb\nc\n' | sed -n '/b/p;$p' >/out; echo abc | sed 's|b\(.\)|[\1&]|;s/a/x/' >>/out; printf '# a b\n# c\n' >/f; sed -i '0,/^[# ]*c *$/ s/^[# ]*c *$/c/' /f; cat /f >>/out`,
			"b\nc\nx[cbc]\n# a b\nc\n",
		},
		{`a=${x:+$(echo ran >/out)}${GREETING:-$(echo ran >/out)}; b="${x:-$(echo no; false)}" || echo "$a $b $?" >>/out`, "hello no 1\n"},
		{`f() { local x=1; return 3; }; f || echo $? >/out`, "3\n"},
		{`expr 3 - 1 >/out; expr ", a," : ".*, a,.*" >>/out; id -u mail >>/out; getent group mail >>/out; basename /a/b.c .c >>/out`, "2\n4\n8\nmail:x:8:\nb\n"},
		{`t=$(mktemp); echo $t >/out; echo x | tee $t >/dev/null; md5sum $t >>/out; echo a:b:c | cut -d: -f2- >>/out`, "/tmp/tmp.0000000000\n401b30e3b8b5d629635a5c613cdb7919  /tmp/tmp.0000000000\nb:c\n"},
		{`echo 'echo called $1 >/out' >/lib.sh; . /lib.sh`, "called configure\n"},
		{
			"cat >/lib.sh <<'EOF'\n: \"${A:=$(echo new)}\"\n: ${B:=$(echo no >/no)}\necho $A $B ${C:-$(echo c)} >>/out\nEOF\nB=old; . /lib.sh; A=; . /lib.sh; [ ! -e /no ]; cat /lib.sh | wc -l >>/out",
			"new old c\nnew old c\n3\n",
		},
		{"echo '#!/bin/sh' >/usr/bin/mine; echo 'cat >/out; echo $0 $1 >>/out' >>/usr/bin/mine; chmod +x /usr/bin/mine; echo in | mine arg", "in\n/usr/bin/mine arg\n"},
		{`echo a b | xargs -r ls || true; printf '' | xargs -r rm; echo ok >/out`, "ok\n"},
		{`date >/out; date -d "$(date)" >>/out`, "Thu Jan  1 00:00:00 UTC 1970\nThu Jan  1 00:00:00 UTC 1970\n"},
		{`f() { case $1 in a/*) f "${1#*/}";; *) echo $1;; esac; }; f a/a/b >/out`, "b\n"},
		// What ends a list or a condition isn't what "set -e" is about.
		{`set -e; if true; then echo a >/out; false && echo b >>/out; fi; for i in 1 2; do [ $i = 1 ] && echo $i >>/out; done; echo c >>/out`, "a\n1\nc\n"},
		{`set -e; case x in x) { false && true; };; esac; echo a >/out`, "a\n"},
		{`if true; then false && true; fi; echo $? >/out`, "1\n"},
		{`f() { if true; then false && true; fi; }; f || echo "no $?" >/out`, "no 1\n"},
	}
	for _, tt := range tests {
		m := machine(t)
		if err := m.Run(t.Context(), "postinst", []byte(tt.text), "configure", ""); err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if got, err := m.Tree.ReadFile("/out"); string(got) != tt.want {
			t.Errorf("%s\nleaves %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

// TestFails tells a script that fails from one that can't be run.
func TestFails(t *testing.T) {
	err := machine(t).Run(t.Context(), "postinst", []byte("echo it broke >&2; exit 3"))
	var failed *script.FailedError
	if !errors.As(err, &failed) || failed.Status != 3 || failed.Said != "it broke" {
		t.Errorf("Run = %v, want a *FailedError of status 3 that says what it said", err)
	}
}

// TestNeverGuesses runs scripts that need something unknown: they end there,
// whatever they would make of a failure.
func TestNeverGuesses(t *testing.T) {
	for text, want := range map[string]string{
		"curl x || true":                         "curl",
		"rm --one-file-system /x || true":        "rm --one-file-system",
		"x=$(curl y) || true":                    "curl",
		"curl x | cat || true":                   "curl",
		"(curl x) || true":                       "curl",
		"if ! curl; then rm -r /etc; fi":         "curl",
		"date +%s || true":                       "+%s",
		"sed 's/a/b/w /etc/x' /etc/passwd || :":  "sed",
		"awk '{ while (1) x++ }' || :":           "awk",
		"echo a >/dev/tty || true":               "/dev/tty",
		"set -e; f() { g; }; g() { f; }; f || :": "calls itself",
		"date -d yesterday || :":                 "date -d yesterday",
	} {
		m := machine(t)
		err := m.Run(t.Context(), "postinst", []byte(text+"\necho after >/out"))
		var unknown *script.UnsupportedError
		if !errors.As(err, &unknown) || !strings.Contains(unknown.Needs, want) {
			t.Errorf("%s: %v, want an *UnsupportedError that names %q", text, err, want)
		}
		if m.Tree.Exists("/out") {
			t.Errorf("%s: the script went on", text)
		}
	}
}

// TestSeesNothingOfTheHost looks for the host's files, variables and numbers.
func TestSeesNothingOfTheHost(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o755); err != nil { //nolint:gosec // an executable
		t.Fatal(err)
	}
	t.Setenv("INLAY_SECRET", "secret")
	for _, text := range []string{
		"cat " + secret, "cat < " + secret, "x=$(cat " + secret + "); [ -n \"$x\" ]", "[ -e " + secret + " ]", "cd " + dir, ". " + secret,
		"for i in " + dir + "/*; do [ -e \"$i\" ] || exit 1; done", "command -v " + secret, secret, "echo x >" + filepath.Join(dir, "new"),
		`[ -n "$INLAY_SECRET" ]`, "test -r " + secret, "exec " + secret, "eval . " + secret, "cp " + secret + " /out", "ls " + dir,
		"[ -e /proc/self ]", "[ -e /etc/hostname ]", "type " + secret,
		// What is refused as a whole.
		"echo $$ >/out", "echo $RANDOM >/out", "cat <(echo x)", "echo $UID", "echo $HOSTNAME",
	} {
		if err := machine(t).Run(t.Context(), "postinst", []byte("set -e\n"+text)); err == nil {
			t.Errorf("%s: succeeds", text)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the scripts wrote to the host: %v", left)
	}
}

// TestEnds runs scripts that would not end, or fill the memory.
func TestEnds(t *testing.T) {
	for _, text := range []string{
		"while :; do :; done",
		"while true; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done",
		"x=$(while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done)",
		"while x=1; do y=2; done",
		"f() { f; }; f",
		"f() { f | f; }; f",
		"f() { (f); }; f",
		"f() { x=$(f); }; f",
		"f() { f; f; }; f || f",
		"sleep 1 & wait",
		"x=aaaaaaaa; " + strings.Repeat("x=$x$x; ", 40),
		"x=aaaaaaaa; for i in " + strings.Repeat("1 ", 60) + "; do x=$x$x; done",
		"x=aaaaaaaa; while :; do x=$x$x; done",
		"x=aaaaaaaa; while :; do echo $x >>/f; x=$(cat /f /f); done",
		"printf '%1000000000d' 1",
		"for ((;;)); do x=1; done",
		"echo '#!/bin/sh' >/usr/bin/me; echo me >>/usr/bin/me; chmod +x /usr/bin/me; me",
		"until false; do :; done",
		"yes() { while :; do echo y; done; }; yes | head -1",
	} {
		t.Logf("%.60s", text)
		start := time.Now()
		err := machine(t).Run(t.Context(), "postinst", []byte(text))
		var unknown *script.UnsupportedError
		if !errors.As(err, &unknown) {
			t.Errorf("%.60s: %v, want an *UnsupportedError", text, err)
		}
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("%.60s: it took %v", text, d)
		}
	}
}

func FuzzScript(f *testing.F) {
	for _, text := range []string{
		"set -e\ncase $1 in configure) rm -f /x;; esac", "sed -e 's/a\\(b\\)/\\1/g' /etc/passwd | grep -E '^[a-z]+' >/out",
		"find / -name '*.so' | sort | uniq -c | cut -d: -f1 | tr a-z A-Z", "awk '/x/ {print $1}' /etc/group; expr 1 + 1; chmod u+x,g-w /etc",
		"[ \"$(readlink -f /etc)\" = /etc ] && ln -s /a /b || mkdir -p /c/d", "printf '%s' a; umask 022; cd /; . /etc/passwd",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 {
			return
		}
		_ = machine(t).Run(t.Context(), "postinst", []byte(text), "configure", "")
	})
}
