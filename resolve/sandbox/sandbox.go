// SPDX-License-Identifier: Apache-2.0

// Package sandbox runs one command isolated, over a root directory made of
// layers or over the host's own tools. What the command and its children do
// reaches nothing but that root, the mounts and ports it was given, and its
// standard streams: it sees no file and no process of the host, has no network
// but what it was given, and none of it outlives the call. Where a machine can't
// isolate that well the caller is told so; nothing falls to less silently.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"inlay/layers"
)

// A Command is a program to run, and all that it is given: nothing is inherited
// from this process.
type Command struct {
	Path string   // of the program inside; without a slash it is looked for in the PATH of Env
	Args []string // what follows the program's name
	Dir  string   // directory to run in, inside; "": /. It is made if it isn't there
	Env  []string // KEY=VALUE

	Stdin  io.Reader // nil: empty
	Stdout io.Writer // nil: dropped. An *os.File is handed over as it is
	Stderr io.Writer

	// Terminal gives the command a terminal of its own in place of the three
	// streams: Started gets the other end.
	Terminal bool

	// Started, if it is set, is called once, in a goroutine of its own, when the
	// command is about to run. Run waits for it to return.
	Started func(*Running)

	User     User
	Hostname string // "": "inlay"
	Root     Root
	Mounts   []Mount // made in this order
	Network  Network
	Ports    []Port
	Limits   Limits
}

// A User is whom a command runs as, in ids of the sandbox. The zero User is
// root there.
type User struct {
	UID, GID int
	Groups   []int // the others
}

// A Root is the root directory that a command sees: layers that it can't
// change, and what it changes. Without any Lower it is empty, and Mounts fill it.
type Root struct {
	// Lower are the directories of unpacked layers, the topmost first. In each,
	// as overlayfs has it, a character device 0:0 hides what is below, and a
	// directory with the attribute user.overlay.opaque=y all that was in it.
	// The files belong to the ids of the rung: see [Rung.Do].
	Lower []string

	// Scratch is a directory of the host, made if it isn't there, that takes what
	// the command writes and that [Rung.Diff] reads. It may be used again for
	// the same Lower. "": the root is read-only. It should be on a disk, in a
	// directory that only this user can enter.
	Scratch string
}

// A Mount puts something else at a path of the sandbox. Exactly one of Source,
// Content and Tmpfs is set.
type Mount struct {
	// Target is an absolute path inside. Links are followed there, never out. What
	// is missing of it is made, and is no change of the root.
	Target string

	Source   string // a file or directory of the host
	Writable bool   // of Source: the command may change it. Files made belong to this user

	Content []byte      // of a file that is only in memory, such as a secret; not nil
	Mode    fs.FileMode // of Content, 0: 0444; of Tmpfs, 0: 1777

	Tmpfs bool
	Size  int64 // of Tmpfs, most bytes; 0: half of the memory

	everybodys bool // Source is shown as far as every user may read it, and no further
}

// HostTools returns mounts, read-only, of what programs of the host need: its
// programs, libraries and certificates, where there are any. Nothing else of
// /etc is among them, and nothing of /home, /root, /run or /var.
func HostTools() []Mount {
	var all []Mount
	for _, p := range []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/etc/alternatives",
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ca-certificates",
		// Not the directories above, which have private keys beside them.
		"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/ca-trust/extracted",
	} {
		if _, err := os.Stat(p); err == nil {
			all = append(all, Mount{Target: p, Source: p, everybodys: true})
		}
	}
	return all
}

// Network is what a command can reach.
type Network int

// The networks that there are.
const (
	// NoNetwork is a loopback device of the sandbox's own, and its Ports.
	NoNetwork Network = iota
	// HostNetwork is all that this process can reach, loopback included.
	HostNetwork
)

// A Port is a server inside the sandbox that this process is: the way out of
// NoNetwork. Serve should return when its listener is closed, which happens when
// the command has ended; Run waits for that.
type Port struct {
	Inside string // "127.0.0.1:3128", as a client in the sandbox dials it
	Serve  func(net.Listener)
}

// Limits are what a command may use, with all its children. What is 0 has no
// limit.
type Limits struct {
	Time      time.Duration // from its start
	Memory    int64         // bytes of all processes together; looked at a few times a second
	Disk      int64         // bytes of all that is written into Root; looked at a few times a second
	Processes int           // at once, threads included
	OpenFiles int           // of each process
	FileSize  int64         // bytes of each file
}

// A Running is a command that runs. Its methods can be called at any time.
type Running struct {
	// Terminal is the end that this process has of Command.Terminal, else nil.
	// Started closes it.
	Terminal *os.File

	link *link
}

// Signal sends the signal to the command, and to its whole foreground group if
// it has a terminal.
func (r *Running) Signal(sig syscall.Signal) error { return r.link.signal(sig) }

// Dial connects to a TCP port that something in the sandbox listens at:
// "127.0.0.1:8080".
func (r *Running) Dial(ctx context.Context, address string) (net.Conn, error) {
	return r.link.dial(ctx, address)
}

// A Result is how a command ended.
type Result struct {
	Exit   int            // its status, as a shell has it: 128 and the number of a signal that ended it
	Signal syscall.Signal // that ended it, or 0
}

// A LimitError reports a command that was ended because it used too much.
type LimitError struct {
	Limit string // "time", "memory", "disk" or "processes"
	Most  string // "10m0s", "4096 MB", "100"
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("it used more than the limit of %s, %s, and was ended", e.Limit, e.Most)
}

// A StartError reports a command that can't be executed.
type StartError struct {
	Path string
	Err  error // fs.ErrNotExist, fs.ErrPermission, syscall.ENOEXEC, …: errors.Is finds them
}

func (e *StartError) Error() string {
	if errors.Is(e.Err, syscall.ENOEXEC) {
		return fmt.Sprintf("starting %s in the sandbox: it is no program for this machine", e.Path)
	}
	return fmt.Sprintf("starting %s in the sandbox: %v", e.Path, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// Hint says how programs of other machines can run.
func (e *StartError) Hint() string {
	if errors.Is(e.Err, syscall.ENOEXEC) {
		return "check the platform; for another than this machine's, set up binfmt_misc with qemu-user-static"
	}
	return "check the command, and that the image has it"
}

// A Writer takes the changes of a root, in an order that it accepts; a
// *layers.Writer is one.
type Writer interface {
	Add(e layers.Entry, body io.Reader) error
	Link(e layers.Entry, target string) error
	Remove(path string) error
}

// A Task is work of this program's own that needs the ids of a rung: unpacking
// layers, for one. It runs in a child process, as root of the sandbox, with the
// directory that it works on as its root directory, no /proc, and the host's
// network not there but on [RungChroot].
type Task func(ctx context.Context, t TaskContext) error

// TaskContext is what a Task is given.
type TaskContext struct {
	Args []string
	In   io.Reader
	Out  io.Writer
	// OneID tells that root is the only id that there is: files can't be given
	// to another, and trying is an error.
	OneID bool
}

// Init must be the first call of main, and of TestMain in tests that run
// commands: in the child processes of this package, which are this program
// again, it doesn't return. Tasks are those that [Rung.Do] can name.
func Init(tasks map[string]Task) { initialize(tasks) }

// The names of the rungs, the strongest first.
const (
	RungRoot   = "root"   // this process is root: ids that nobody has on the host, overlay
	RungSubIDs = "subids" // ids of /etc/subuid by newuidmap, overlay
	RungOneID  = "one-id" // root is the only id, giving files away is pretended; overlay
	RungFuse   = "fuse"   // the ids of the strongest of these that works; the overlay is the program fuse-overlayfs
	RungCopy   = "copy"   // the same ids, but a copy of the layers and no overlay

	// RungChroot is for root of a container in which there are no namespaces to
	// be had, and is never taken but by its name: chroot(2) into a copy of the
	// layers, Landlock and seccomp. It shares users, the network and the list of
	// processes with the machine: see [ChrootError] for what it refuses.
	RungChroot = "chroot"
)

// Rungs are the names of those that [Choose] chooses from.
func Rungs() []string { return []string{RungRoot, RungSubIDs, RungOneID, RungFuse, RungCopy} }

// A Rung is one way to isolate commands, and whether it works here.
type Rung struct {
	Name  string
	Works bool
	Asked bool   // it works in a way, but is taken by its name alone
	Why   string // what it is like where it works, why it doesn't where it doesn't
	Fix   string // what to do where it doesn't work, or less than it could

	// Owners names whom unpacked files belong to. Trees that were unpacked with
	// the same Owners can be shared; others can't. It can be part of a file name.
	Owners string

	ids    ids
	copies bool   // in place of an overlay
	fuse   string // the program that is the overlay
	chroot bool   // in place of namespaces
}

// Probe tries every rung that [Choose] takes by itself, with directories in dir, where scratch directories will
// be: whether they can be overlaid depends on its file system.
func Probe(ctx context.Context, dir string) []Rung { return probe(ctx, dir) }

// TryChroot tries [RungChroot], as Probe tries the others.
func TryChroot(ctx context.Context, dir string) Rung { return tryChroot(ctx, dir) }

// Choose returns the strongest rung that works, or the one with that name, and
// a *NoRungError if there is none.
func Choose(ctx context.Context, dir, name string) (*Rung, error) { return choose(ctx, dir, name) }

// Run runs c to its end. What it can't start is a *StartError, what used more
// than its Limits a *LimitError; when ctx ends the command is killed with all
// its children, and errors.Is(err, ctx.Err()) holds.
func (r *Rung) Run(ctx context.Context, c Command) (Result, error) { return r.run(ctx, c) }

// OneID reports whether root is the only id that commands have. Unpacked files
// are root's then, whoever's they are in their layer.
func (r *Rung) OneID() bool { return r.ids.one }

// Lower returns what a later command has as its Lower to see what one with root
// changed.
func (r *Rung) Lower(root Root) []string { return r.lower(root) }

// Diff writes what commands with root changed as a layer: the same bytes
// whichever rung it was. A file counts as changed if its content, type, owner,
// mode or capabilities differ; newer than epoch (seconds since 1970) it is of that
// time. Sockets, pipes and devices are left out, and what was made for mounts.
func (r *Rung) Diff(ctx context.Context, root Root, epoch int64, to Writer) error {
	return r.diff(ctx, root, epoch, to)
}

// Do runs a task of [Init] on the directory dir of the host, which is made if it
// isn't there, and belongs to the sandbox's root then.
func (r *Rung) Do(ctx context.Context, task, dir string, t TaskContext) error {
	return r.do(ctx, task, dir, t)
}

// Remove removes directories of the host that commands or tasks wrote. Those
// that are not there are no error.
func (r *Rung) Remove(ctx context.Context, dirs ...string) error { return r.remove(ctx, dirs) }

// A ChrootError reports what a command would need that [RungChroot] hasn't.
type ChrootError struct{ Needs string }

func (e *ChrootError) Error() string {
	return fmt.Sprintf("the sandbox %q is without mounts and namespaces, and so without %s", RungChroot, e.Needs)
}

// Hint says where there is more.
func (e *ChrootError) Hint() string {
	return "do without it, or run inlay where `inlay doctor` names a stronger sandbox"
}

// A NoRungError reports that commands can't be isolated here.
type NoRungError struct {
	Asked string // name of a rung, or ""
	Tried []Rung
}

func (e *NoRungError) Error() string {
	s := "commands can't be isolated on this machine"
	if e.Asked != "" {
		s = fmt.Sprintf("the sandbox %q does not work on this machine", e.Asked)
	}
	for _, r := range e.Tried {
		s += fmt.Sprintf("\n  %s: %s", r.Name, r.Why)
	}
	return s
}

// Hint says what to do so that one works.
func (e *NoRungError) Hint() string {
	for _, r := range e.Tried {
		if r.Fix != "" {
			return r.Fix
		}
	}
	return "run it on Linux, as root or where user namespaces are allowed"
}
