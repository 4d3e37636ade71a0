// SPDX-License-Identifier: Apache-2.0

// Package debian does on a tree what Debian's administration programs do on a
// system: update-alternatives, ldconfig, update-ca-certificates, adduser,
// debconf and others that maintainer scripts call. Each does exactly what the
// program does with the arguments that it knows, and refuses others. Programs
// that mean nothing in an image are left out, and named.
package debian

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"inlay/assemble/overlay"
	"inlay/assemble/script"
)

// A System is what the commands know beside the tree.
type System struct {
	// Day is the day that accounts are made on, counted from 1970.
	Day int64
	// Debconf holds the questions of packages.
	Debconf *Debconf
	// Libraries are those that were read before; nil forgets them.
	Libraries *Libraries
}

// Commands returns the commands by name.
func (s *System) Commands() map[string]script.Command {
	all := map[string]script.Command{
		"update-alternatives": alternatives, "ldconfig": s.ldconfig, "ldconfig.real": s.ldconfig,
		"update-ca-certificates": certificates,
		"adduser":                s.adduser, "addgroup": s.adduser, "useradd": s.useradd, "groupadd": s.groupadd,
		"groupmod": s.groupmod, "usermod": s.usermod, "systemd-sysusers": s.sysusers, "shadowconfig": s.shadowconfig,
		"add-shell": addShell, "update-shells": updateShells, "update-locale": updateLocale,
		"pam-auth-update": pamAuthUpdate, "git": git, "perl": perl, "ischroot": isChroot, "setcap": setcap, "getcap": getcap, "ucf": ucf, "ucfr": ucfr, "inlay:debconf": s.Debconf.command,
	}
	for _, version := range []string{"", ".9", ".10", ".11", ".12", ".13", ".14"} {
		all["python3"+version] = python
	}
	for what, names := range skipped {
		for _, n := range names {
			all[n] = skip(n + ": " + what)
		}
	}
	return all
}

// What is skipped although programs need it: an image without it is less.
const (
	desktopCache = "cache that desktop programs need"
	hook         = "hook of update-ca-certificates"
)

// Needed reports whether something that was skipped makes what programs need.
func Needed(skipped string) bool {
	_, what, _ := strings.Cut(skipped, ": ")
	return what == desktopCache || what == hook
}

// skipped are programs that an image is as good or better without, by what they
// would be for.
var skipped = map[string][]string{
	"services":              {"update-rc.d", "invoke-rc.d", "deb-systemd-helper", "deb-systemd-invoke", "systemctl", "service", "systemd-tmpfiles"},
	"compiled Python":       {"py3compile", "pypy3compile", "pycompile"},
	"identity of a host":    {"ssh-keygen", "systemd-machine-id-setup", "dbus-uuidgen"},
	"cache, made when used": {"fc-cache", "gtk-update-icon-cache", "update-icon-caches", "update-mime", "update-menus", "install-info", "update-info-dir", "mandb", "update-desktop-database"},
	desktopCache: {
		"update-mime-database", "glib-compile-schemas", "gio-querymodules", "gdk-pixbuf-query-loaders", "gtk-query-immodules-3.0",
	},
	"start of a machine":        {"update-initramfs", "update-grub", "modprobe", "depmod", "update-binfmts", "udevadm"},
	"locales, none is selected": {"locale-gen", "localedef"},
}

// python skips what compiles modules ahead, and knows nothing else.
func python(_ context.Context, c *script.Call) error {
	for i, a := range c.Args {
		module := i > 0 && c.Args[i-1] == "-m" && (a == "py_compile" || a == "compileall")
		if module || i > 0 && path.Base(a) == "py_compile.py" {
			c.Skip(path.Base(c.Args[0]) + ": compiled Python")
			return nil
		}
		if i > 0 && !strings.HasPrefix(a, "-") {
			break
		}
	}
	return c.Usage()
}

func skip(what string) script.Command {
	return func(_ context.Context, c *script.Call) error {
		_, _ = c.Input() // it is dropped
		c.Skip(what)
		return nil
	}
}

// text returns the content of a file that need not be there.
func text(tree *overlay.Tree, name string) (string, error) {
	b, err := tree.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}
