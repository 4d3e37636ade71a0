// SPDX-License-Identifier: Apache-2.0

package debian_test

import (
	"errors"
	"strings"
	"testing"

	"inlay/assemble/script"
)

// TestPAM puts the files of PAM together, adds a module, and leaves files alone
// that somebody changed. What it wants was written by pam-auth-update 1.5.2.
func TestPAM(t *testing.T) {
	tree, run := system(t)
	for _, d := range []string{"usr/share/pam", "usr/share/pam-configs", "etc/pam.d"} {
		check(t, tree.MkdirAll(d, 0o755))
	}
	frame := func(kind, primary, additional string) string {
		return "# " + kind + "\n# here are the per-package modules (the \"Primary\" block)\n" + primary +
			"# here's the fallback if no module succeeds\n" + kind + "\trequisite\tpam_deny.so\n" +
			"# and here are more per-package modules (the \"Additional\" block)\n" + additional + "# end of pam-auth-update config\n"
	}
	for _, kind := range []string{"auth", "account", "password", "session", "session-noninteractive"} {
		check(t, tree.WriteFile("usr/share/pam/common-"+kind, []byte(frame(strings.TrimSuffix(kind, "-noninteractive"), "$primary\n", "$additional\n")), 0o644))
	}
	unix := "Name: Unix\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_unix.so nullok try_first_pass\n" +
		"Auth-Initial:\n\t[success=end default=ignore]\tpam_unix.so nullok\nSession-Type: Additional\nSession:\n\trequired\tpam_unix.so\n" +
		"Account-Type: Primary\nAccount:\n\trequired\tpam_unix.so\nPassword-Type: Primary\nPassword:\n\trequired\tpam_unix.so\n"
	check(t, tree.WriteFile("usr/share/pam-configs/unix", []byte(unix), 0o644))
	check(t, tree.WriteFile("usr/share/pam-configs/home", []byte("Name: Home\nDefault: no\nPriority: 0\nSession-Type: Additional\nSession:\n\trequired\tpam_mkhomedir.so\n"), 0o644))
	check(t, run("pam-auth-update --root '' --package --force"))
	want(t, tree, "etc/pam.d/common-auth", frame("auth", "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n", ""))
	want(t, tree, "etc/pam.d/common-session", frame("session", "session\t[default=1]\t\t\tpam_permit.so\n", "session\trequired\tpam_unix.so \n"))
	want(t, tree, "var/lib/pam/session", "Module: null\n[default=1]\t\t\tpam_permit.so\nModule: unix\nrequired\tpam_unix.so\n")
	want(t, tree, "var/lib/pam/seen", "unix\nhome\n")

	more := "Name: Cap\nDefault: yes\nPriority: 0\nAuth-Type: Additional\nAuth:\n\toptional\t\t\tpam_cap.so\nSession-Interactive-Only: yes\nSession-Type: Primary\nSession:\n\t[success=end]\tpam_first.so\n"
	check(t, tree.WriteFile("usr/share/pam-configs/cap", []byte(more), 0o644))
	check(t, run("pam-auth-update --package"))
	want(t, tree, "etc/pam.d/common-auth", frame("auth", "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n", "auth\toptional\t\t\tpam_cap.so \n"))
	want(t, tree, "etc/pam.d/common-session", frame("session", "session\t[success=1]\tpam_first.so \n", "session\trequired\tpam_unix.so \n"))
	want(t, tree, "etc/pam.d/common-session-noninteractive", frame("session", "session\t[default=1]\t\t\tpam_permit.so\n", "session\trequired\tpam_unix.so \n"))
	want(t, tree, "var/lib/pam/seen", "unix\nhome\ncap\n")

	check(t, tree.WriteFile("etc/pam.d/common-auth", []byte(frame("auth", "auth\trequired\tpam_mine.so\n", "")), 0o644))
	var unknown *script.UnsupportedError
	if err := run("pam-auth-update --package"); !errors.As(err, &unknown) || unknown.Needs != "pam-auth-update to keep changes of common-auth" {
		t.Errorf("over changed files it ends with %v, want an *UnsupportedError", err)
	}
}
