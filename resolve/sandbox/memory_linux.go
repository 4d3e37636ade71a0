// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// recall finds the ids again that the rung had.
func (r *Rung) recall() error {
	if r.Name == RungChroot {
		r.ids, r.copies, r.chroot = chrootIDs(), true, true
		return chrootRights()
	}
	for _, k := range kinds {
		if r.Name != k.name && r.Name != RungCopy && r.Name != RungFuse {
			continue
		}
		if d, err := k.ids(); err == nil && d.owners() == r.Owners {
			r.ids, r.copies = d, r.Name == RungCopy
			return r.recallFuse()
		}
	}
	return fmt.Errorf("nothing here has the ids that commands had which were isolated as %s", r.Name)
}

// recallFuse finds the program again that the rung had.
func (r *Rung) recallFuse() error {
	if r.Name != RungFuse {
		return nil
	}
	if r.fuse = program(fuseProgram); r.fuse == "" {
		return errors.New("there is no program " + fuseProgram)
	}
	return nil
}

// settings are files of the kernel that say what processes may do: those of all,
// and of this one.
var settings = []string{
	"/proc/sys/kernel/random/boot_id",
	"/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
	"/proc/sys/kernel/unprivileged_userns_clone",
	"/proc/sys/user/max_user_namespaces",
	"/proc/self/attr/current",
}

func circumstances(dir string) string {
	var b strings.Builder
	for _, name := range settings {
		text, _ := os.ReadFile(name) // that it isn't there is an answer
		fmt.Fprintln(&b, string(text))
	}
	fmt.Fprintln(&b, privileges())
	for _, namespace := range []string{"user", "mnt", "pid", "net"} {
		to, _ := os.Readlink("/proc/self/ns/" + namespace)
		fmt.Fprintln(&b, to)
	}
	for _, k := range kinds {
		d, err := k.ids()
		fmt.Fprintln(&b, d, err)
	}
	for _, name := range []string{"/proc/self/exe", dir, program(fuseProgram), fuseDevice} {
		fmt.Fprintln(&b, identity(name))
	}
	return b.String()
}

// privileges are the lines on them in the state of this process.
func privileges() (lines []string) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // nothing depends on it
	for s := bufio.NewScanner(f); s.Scan(); {
		for _, field := range []string{"Uid:", "Gid:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp"} {
			if strings.HasPrefix(s.Text(), field) {
				lines = append(lines, s.Text())
			}
		}
	}
	return lines
}

// identity tells a file, and a version of a file, from others.
func identity(name string) []any {
	var s syscall.Stat_t
	if err := syscall.Stat(name, &s); err != nil {
		return []any{err}
	}
	switch s.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return []any{s.Dev} // what is in it comes and goes
	case syscall.S_IFCHR:
		return []any{s.Rdev, s.Mode, s.Uid, s.Gid} // it is used
	}
	return []any{s.Dev, s.Ino, s.Size, s.Mtim}
}
