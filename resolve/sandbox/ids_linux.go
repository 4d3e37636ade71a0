// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/user"
)

// enough is how many ids a sandbox has: those that images use, nobody's too.
const enough = 1 << 16

// nobodys is the first of the ids that root gives to a sandbox: it lies in a
// range that systemd's list of ids calls unused, and above what useradd and
// container managers hand out. Nothing on the host belongs to them.
const nobodys = 0x70000000

// ids are the users and groups of a sandbox in terms of this process's.
type ids struct {
	uids, gids []syscall.SysProcIDMap
	newuidmap  string // the program that must set them, and its twin; "": the kernel lets us
	newgidmap  string
	shifted    bool // root is not root of the host, and this process is
	one        bool // root is the only one
}

// owners says whom files of root and others belong to on the host.
func (d *ids) owners() string {
	name := fmt.Sprintf("%d-%d", d.uids[0].HostID, d.gids[0].HostID)
	if len(d.uids) > 1 {
		name += fmt.Sprintf("-%d-%d", d.uids[1].HostID, d.gids[1].HostID)
	}
	if d.one {
		name += "-one"
	}
	return name
}

func mapping(inside, host, size int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: inside, HostID: host, Size: size}}
}

// rootIDs are the ids that root gives away.
func rootIDs() (ids, error) {
	if os.Geteuid() != 0 {
		return ids{}, errors.New("this user is not root")
	}
	uids, err := user.CurrentProcessUIDMap()
	if err != nil {
		return ids{}, err
	}
	gids, err := user.CurrentProcessGIDMap()
	if err != nil {
		return ids{}, err
	}
	for _, base := range []int{nobodys, 0} {
		if covers(uids, base) && covers(gids, base) {
			return ids{uids: mapping(0, base, enough), gids: mapping(0, base, enough), shifted: base != 0}, nil
		}
	}
	return ids{}, fmt.Errorf("root of this container has fewer than %d ids", enough)
}

// covers reports whether a namespace has enough ids from base on.
func covers(m []user.IDMap, base int) bool {
	for _, r := range m {
		if r.ID <= int64(base) && int64(base)+enough <= r.ID+r.Count {
			return true
		}
	}
	return false
}

// subIDs are those that the files /etc/subuid and /etc/subgid give this user.
func subIDs() (ids, error) {
	if os.Geteuid() == 0 {
		return ids{}, errors.New("this user is root")
	}
	d := ids{newuidmap: program("newuidmap"), newgidmap: program("newgidmap")}
	if d.newuidmap == "" || d.newgidmap == "" {
		return ids{}, errors.New("there is no program newuidmap")
	}
	uid, err := longest("/etc/subuid", user.CurrentUserSubUIDs)
	if err != nil {
		return ids{}, err
	}
	gid, err := longest("/etc/subgid", user.CurrentUserSubGIDs)
	if err != nil {
		return ids{}, err
	}
	d.uids = append(mapping(0, os.Geteuid(), 1), mapping(1, uid, enough-1)...)
	d.gids = append(mapping(0, os.Getegid(), 1), mapping(1, gid, enough-1)...)
	return d, nil
}

func longest(file string, read func() ([]user.SubID, error)) (int, error) {
	list, err := read()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	for _, s := range list {
		if s.Count >= enough-1 {
			return int(s.SubID), nil
		}
	}
	return 0, fmt.Errorf("%s gives this user no %d ids", file, enough-1)
}

// program looks for a program where distributions have it: this package reads
// no PATH.
func program(name string) string {
	for _, dir := range []string{"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/wrappers/bin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p
		}
	}
	return ""
}

// oneID makes this user root of the sandbox.
func oneID() (ids, error) {
	if m, err := user.CurrentProcessUIDMap(); os.Geteuid() == 0 && (err != nil || covers(m, nobodys)) {
		// It would be root of the host, whom limits of processes don't stop.
		return ids{}, errors.New("this user is root")
	}
	return ids{uids: mapping(0, os.Geteuid(), 1), gids: mapping(0, os.Getegid(), 1), one: true}, nil
}

// attributes say how a child gets its ids. Where there is one, it gets the name
// of the user.
func (d *ids) attributes(u User) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Setsid: true, Pdeathsig: syscall.SIGKILL}
	switch {
	case d.newuidmap != "":
		// The ids come after its exec, which takes its capabilities but for these.
		a.AmbientCaps = setupCaps
	case d.one:
		a.UidMappings, a.GidMappings = mapping(u.UID, os.Geteuid(), 1), mapping(u.GID, os.Getegid(), 1)
		a.AmbientCaps = setupCaps // for a user who is not root
	default:
		a.UidMappings, a.GidMappings = d.uids, d.gids
		a.GidMappingsEnableSetgroups = true
		a.Credential = &syscall.Credential{}
	}
	return a
}

// give sets the ids of a child where the kernel lets only newuidmap.
func (d *ids) give(pid int) error {
	if d.newuidmap == "" {
		return nil
	}
	for program, m := range map[string][]syscall.SysProcIDMap{d.newuidmap: d.uids, d.newgidmap: d.gids} {
		args := []string{strconv.Itoa(pid)}
		for _, r := range m {
			args = append(args, strconv.Itoa(r.ContainerID), strconv.Itoa(r.HostID), strconv.Itoa(r.Size))
		}
		cmd := exec.Command(program, args...)
		cmd.Env = []string{} // nil would mean this program's own
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
