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
}

// Commands returns the commands by name.
func (s *System) Commands() map[string]script.Command {
	all := map[string]script.Command{
		"update-alternatives": alternatives, "ldconfig": ldconfig, "ldconfig.real": ldconfig,
		"update-ca-certificates": certificates,
		"adduser":                s.adduser, "addgroup": s.adduser, "useradd": s.useradd, "groupadd": s.groupadd,
		"groupmod": s.groupmod, "usermod": s.usermod, "systemd-sysusers": s.sysusers, "shadowconfig": s.shadowconfig,
		"add-shell": addShell, "update-shells": updateShells, "update-locale": updateLocale,
		"setcap": setcap, "getcap": getcap, "ucf": ucf, "ucfr": ucfr, "inlay:debconf": s.Debconf.command,
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

// skipped are programs that an image is as good or better without, by what they
// would be for.
var skipped = map[string][]string{
	"services":              {"update-rc.d", "invoke-rc.d", "deb-systemd-helper", "deb-systemd-invoke", "systemctl", "service", "systemd-tmpfiles"},
	"compiled Python":       {"py3compile", "pypy3compile", "pycompile"},
	"identity of a host":    {"ssh-keygen", "systemd-machine-id-setup", "dbus-uuidgen"},
	"cache, made when used": {"fc-cache", "gtk-update-icon-cache", "update-icon-caches", "update-mime", "update-menus", "install-info", "update-info-dir", "mandb", "update-desktop-database"},
	"cache that desktop programs need": {
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
		_, _ = c.Input() //nolint:errcheck // it is dropped
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

func addShell(_ context.Context, c *script.Call) error {
	old, err := text(c.Tree, "/etc/shells")
	if err != nil {
		return c.Fail(err)
	}
	have := strings.Split(old, "\n")
	for _, s := range c.Args[1:] {
		if strings.HasPrefix(s, "-") {
			return c.Usage()
		}
		shells := []string{s}
		if dir, _ := c.Tree.Resolve(path.Dir(s)); dir == "usr/bin" && path.Dir(s) == "/bin" {
			shells = append(shells, "/usr"+s) // with merged directories both names count
		}
		for _, s := range shells {
			if !contains(have, s) {
				have, old = append(have, s), old+s+"\n"
			}
		}
	}
	if err := c.Tree.WriteFile("/etc/shells", []byte(old), 0o644); err != nil {
		return c.Fail(err)
	}
	return nil
}

// updateShells adds the shells that packages declare, and remembers them.
func updateShells(_ context.Context, c *script.Call) error {
	if len(c.Args) > 1 {
		return c.Usage()
	}
	names, err := c.Tree.ReadDir("/usr/share/debianutils/shells.d")
	if err != nil {
		return c.Fail(err)
	}
	shells, err := text(c.Tree, "/etc/shells")
	if err != nil {
		return c.Fail(err)
	}
	const stateFile = "/var/lib/shells.state"
	state, err := text(c.Tree, stateFile)
	if err != nil {
		return c.Fail(err)
	}
	had, have := strings.Split(state, "\n"), strings.Split(shells, "\n")
	now := ""
	for _, n := range names {
		list, err := text(c.Tree, "/usr/share/debianutils/shells.d/"+n)
		if err != nil {
			return c.Fail(err)
		}
		for line := range strings.Lines(list) {
			s := strings.TrimSpace(line)
			if s == "" || s[0] == '#' {
				continue
			}
			both := []string{s}
			if dir, _ := c.Tree.Resolve(path.Dir(s)); dir == "usr/bin" && path.Dir(s) == "/bin" {
				both = append(both, "/usr"+s)
			}
			for _, s := range both {
				now += s + "\n"
				if !contains(have, s) && !contains(had, s) {
					have, shells = append(have, s), shells+s+"\n"
				}
			}
		}
	}
	for _, s := range had {
		if s != "" && !contains(strings.Split(now, "\n"), s) {
			return &script.UnsupportedError{Needs: "update-shells to remove " + s}
		}
	}
	if err := c.Tree.WriteFile("/etc/shells", []byte(shells), 0o644); err != nil {
		return c.Fail(err)
	}
	if err := c.Tree.WriteFile(stateFile, []byte(now), 0o644); err != nil {
		return c.Fail(err)
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// updateLocale writes /etc/default/locale.
func updateLocale(_ context.Context, c *script.Call) error {
	const file = "/etc/default/locale"
	old, err := text(c.Tree, file)
	if err != nil {
		return c.Fail(err)
	}
	lines := strings.Split(strings.TrimSuffix(old, "\n"), "\n")
	if old == "" {
		lines = []string{"#  File generated by update-locale"}
	}
	for _, a := range c.Args[1:] {
		name, value, set := strings.Cut(a, "=")
		if a == "--no-checks" {
			continue
		}
		if strings.HasPrefix(a, "-") {
			return c.Usage()
		}
		kept := lines[:0:0]
		for _, l := range lines {
			if !strings.HasPrefix(l, name+"=") {
				kept = append(kept, l)
			}
		}
		if lines = kept; set && value != "" {
			if strings.ContainsAny(value, " \"'\\$`") {
				return c.Usage()
			}
			lines = append(lines, name+"="+value)
		}
	}
	if err := c.Tree.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return c.Fail(err)
	}
	return nil
}

// capabilities are the numbers that setcap knows by name (capabilities(7)).
var capabilities = map[string]uint{
	"cap_chown": 0, "cap_dac_override": 1, "cap_dac_read_search": 2, "cap_fowner": 3, "cap_kill": 5, "cap_setgid": 6, "cap_setuid": 7,
	"cap_net_bind_service": 10, "cap_net_broadcast": 11, "cap_net_admin": 12, "cap_net_raw": 13, "cap_ipc_lock": 14,
	"cap_sys_chroot": 18, "cap_sys_ptrace": 19, "cap_sys_admin": 21, "cap_sys_nice": 23, "cap_sys_resource": 24, "cap_bpf": 39, "cap_perfmon": 38,
}

// setcap gives a file capabilities, such as "cap_net_raw+ep".
func setcap(_ context.Context, c *script.Call) error {
	args := c.Args[1:]
	if len(args) == 3 && args[0] == "-q" {
		args = args[1:]
	}
	if len(args) != 2 || strings.HasPrefix(args[0], "-") {
		return c.Usage()
	}
	i := strings.IndexAny(args[0], "+=")
	if i < 0 {
		return c.Usage()
	}
	var mask uint64
	for name := range strings.SplitSeq(args[0][:i], ",") {
		n, ok := capabilities[name]
		if !ok {
			return c.Usage()
		}
		mask |= 1 << n
	}
	flags := args[0][i+1:]
	if strings.Trim(flags, "pe") != "" || !strings.Contains(flags, "p") {
		return c.Usage()
	}
	// vfs_cap_data of revision 2: magic and flags, then permitted and
	// inheritable, low and high halves.
	magic := uint32(0x02000000)
	if strings.Contains(flags, "e") {
		magic |= 1
	}
	value := make([]byte, 0, 20)
	for _, v := range []uint32{magic, uint32(mask), 0, uint32(mask >> 32), 0} {
		value = append(value, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	if err := c.Tree.SetCapability(c.Abs(args[1]), string(value)); err != nil {
		return c.Fail(err)
	}
	return nil
}

// getcap prints nothing for a file without capabilities, as new files are.
func getcap(_ context.Context, c *script.Call) error {
	if len(c.Args) != 2 {
		return c.Usage()
	}
	f, err := c.Tree.Stat(c.Abs(c.Args[1]))
	if err != nil {
		return c.Fail(err)
	}
	if f.Capability != "" {
		return c.Usage()
	}
	return nil
}
