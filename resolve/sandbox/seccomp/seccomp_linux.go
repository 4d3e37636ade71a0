// SPDX-License-Identifier: Apache-2.0

// Package seccomp takes system calls away from this process and all that it
// starts: those that make or enter namespaces, mount, trace, load code into the
// kernel, change the machine, or reach what isn't in a namespace. It is a filter
// of the kernel's (seccomp(2)) and can't be taken back. The caller has set
// no_new_privs, or may administer its user namespace.
package seccomp

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are the calls that fail with EPERM, as for a user who lacks the right.
var denied = []uint32{
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_MOVE_MOUNT, unix.SYS_MOUNT_SETATTR,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_FANOTIFY_INIT,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_SYSLOG, unix.SYS_VHANGUP,
	unix.SYS_QUOTACTL, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
}

// absent are the calls that fail with ENOSYS, so that programs do without: the
// filter can't see what clone3 and io_uring are asked to do.
var absent = []uint32{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}

// pretended are the calls that succeed without doing anything where root is the
// only id: there is no other to become or to give a file to.
var pretended = []uint32{
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETGROUPS, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
}

// families are the sockets there are; AF_VSOCK, for one, knows no namespaces.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// namespaces are the flags of clone(2) that make one.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// shared are the calls that reach what a process without namespaces shares with
// others: memory and messages of System V and of POSIX. And listen: the kernel
// opens a port for who listens without one.
var shared = []uint32{
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL,
	unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SEMCTL, unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK, unix.SYS_LISTEN,
}

// A process is a call that is about one, and the argument that says which: 0 is
// who calls.
type process struct{ call, argument uint32 }

var processes = []process{
	{unix.SYS_PRLIMIT64, 0},
	{unix.SYS_SETPRIORITY, 1},
	{unix.SYS_IOPRIO_SET, 1},
	{unix.SYS_SCHED_SETAFFINITY, 0},
	{unix.SYS_SCHED_SETSCHEDULER, 0},
	{unix.SYS_SCHED_SETPARAM, 0},
	{unix.SYS_SCHED_SETATTR, 0},
	{unix.SYS_MIGRATE_PAGES, 0},
	{unix.SYS_MOVE_PAGES, 0},
}

// A Filter is what is taken beside what always is.
type Filter struct {
	OneID   bool // changes of owners and users are pretended
	Shared  bool // there are no namespaces: what these would keep apart is denied
	Network bool // with Shared: the network is to be used
}

// Install puts the filter in place for all threads of this process.
func (f Filter) Install() error {
	p := f.program()
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	//nolint:gosec // the kernel takes a pointer
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("installing the filter of system calls: %w", errno)
	}
	return nil
}

// Codes of the filter's machine, and where what it looks at lies (struct
// seccomp_data).
const (
	load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	least  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	anyOf  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	answer = unix.BPF_RET | unix.BPF_K

	and = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K

	number   = 0
	arch     = 4
	argument = 16 // the lower half of the first; 8 bytes each

	x32 = 0x40000000 // the bit of a call of x86-64's other ABI
)

func (f Filter) program() []unix.SockFilter {
	p := []unix.SockFilter{
		{Code: load, K: arch},
		{Code: equal, Jt: 1, K: auditArch},
		fail(unix.ENOSYS), // the numbers of another ABI mean other calls
		{Code: load, K: number},
		{Code: least, Jf: 1, K: x32},
		fail(unix.ENOSYS),
	}
	p = append(p, when(unix.SYS_CLONE, argument, []unix.SockFilter{
		{Code: anyOf, Jf: 1, K: namespaces}, fail(unix.EPERM),
	})...)
	// No typing into the terminal that started us.
	p = append(p, when(unix.SYS_IOCTL, argument+8, []unix.SockFilter{
		{Code: equal, Jf: 1, K: unix.TIOCSTI},
		fail(unix.EPERM),
		{Code: equal, Jf: 1, K: unix.TIOCLINUX},
		fail(unix.EPERM),
	})...)
	if f.Shared && !f.Network {
		p = append(p, streams()...)
	} else {
		var known []unix.SockFilter
		for _, k := range families {
			known = append(known, unix.SockFilter{Code: equal, Jf: 1, K: k}, allow())
		}
		known = append(known, fail(unix.EAFNOSUPPORT))
		p = append(p, when(unix.SYS_SOCKET, argument, known)...)
	}
	p = append(p, calls(denied, fail(unix.EPERM))...)
	p = append(p, calls(absent, fail(unix.ENOSYS))...)
	if f.Shared {
		p = append(p, others(f.Network)...)
	}
	if f.OneID {
		p = append(p, calls(slices.Concat(pretended, oldChowns), fail(0))...)
	}
	return append(p, allow())
}

// streams lets there be TCP and unix sockets alone, so that Landlock, which knows
// TCP and no other protocol, sees every way out; and of TCP what connects before
// it is asked (Fast Open) is not to be had.
func streams() []unix.SockFilter {
	p := when(unix.SYS_SOCKET, argument, []unix.SockFilter{
		{Code: equal, Jf: 1, K: unix.AF_UNIX},
		allow(),
		{Code: equal, Jt: 2, K: unix.AF_INET},
		{Code: equal, Jt: 1, K: unix.AF_INET6},
		fail(unix.EAFNOSUPPORT),
		{Code: load, K: argument + 8},
		{Code: and, K: 0xf}, // without SOCK_NONBLOCK and SOCK_CLOEXEC
		{Code: equal, Jt: 1, K: unix.SOCK_STREAM},
		fail(unix.EPERM),
		{Code: load, K: argument + 16},
		{Code: equal, Jt: 2, K: 0},
		{Code: equal, Jt: 1, K: unix.IPPROTO_TCP},
		fail(unix.EPERM),
	})
	for call, flags := range map[uint32]uint32{unix.SYS_SENDTO: 3, unix.SYS_SENDMSG: 2, unix.SYS_SENDMMSG: 3} {
		p = append(p, when(call, argument+8*flags, []unix.SockFilter{{Code: anyOf, Jf: 1, K: unix.MSG_FASTOPEN}, fail(unix.EPERM)})...)
	}
	return p
}

// others keeps the hands off what belongs to other processes of the machine.
func others(network bool) []unix.SockFilter {
	list := shared
	if network {
		list = slices.DeleteFunc(slices.Clone(shared), func(n uint32) bool { return n == unix.SYS_LISTEN })
	}
	p := calls(list, fail(unix.EPERM))
	for _, x := range processes {
		p = append(p, when(x.call, argument+8*x.argument, []unix.SockFilter{{Code: equal, Jt: 1, K: 0}, fail(unix.EPERM)})...)
	}
	return p
}

// when looks at an argument of one call: where then says nothing it is allowed.
func when(call, at uint32, then []unix.SockFilter) []unix.SockFilter {
	p := []unix.SockFilter{{Code: equal, Jf: uint8(len(then) + 2), K: call}, {Code: load, K: at}}
	return append(append(p, then...), allow())
}

// calls answers each of the calls the same.
func calls(list []uint32, a unix.SockFilter) []unix.SockFilter {
	var p []unix.SockFilter
	for _, n := range list {
		p = append(p, unix.SockFilter{Code: equal, Jf: 1, K: n}, a)
	}
	return p
}

func fail(e unix.Errno) unix.SockFilter {
	return unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(e)}
}

func allow() unix.SockFilter { return unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW} }
