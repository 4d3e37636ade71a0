// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox"
)

// A target is what there is on the host to get at. Escapes get it as JSON, so
// that none has to guess.
type target struct {
	Dir      string   // with a file secret in it that everybody may read
	TCP, UDP string   // servers on the host's loopback
	Unix     string   // server on a socket in Dir
	Abstract string   // server on a socket without a file
	PID      int      // of a process of the same user
	Mark     string   // argument of that process
	Paths    []string // of the host that nothing should show
}

// An escape is one way out. It returns nil if it worked.
type escape struct {
	name  string
	try   func(target) error
	plain bool // it works where there is no sandbox, for every user
}

// escapes are those that a malicious setup.py would try, one after another.
var escapes = []escape{
	{"inherit a descriptor", inherited, false},
	{"read a file of the host", func(t target) error { return readable(filepath.Join(t.Dir, "secret")) }, true},
	{"read the host's passwords", func(target) error { return readable("/etc/shadow") }, false},
	{"read through the first process's root directory", func(t target) error { return readable("/proc/1/root" + t.Dir + "/secret") }, false},
	{"read through the host process's root directory", func(t target) error { return readable(fmt.Sprintf("/proc/%d/root%s/secret", t.PID, t.Dir)) }, true},
	{"read through other processes of the sandbox", throughOthers, false},
	{"read above the root directory", aboveRoot, false},
	{"find an open directory", openDescriptors, false},
	{"write a file of the host", func(t target) error { return os.WriteFile(filepath.Join(t.Dir, "written"), nil, 0o644) }, true},
	{"see the paths of the host", pathsOfHost, false},
	{"connect to the host's loopback by TCP", func(t target) error { return talk("tcp", t.TCP) }, true},
	{"send to the host's loopback by UDP", func(t target) error { return talk("udp", t.UDP) }, true},
	{"connect to a socket of the host", func(t target) error { return talk("unix", t.Unix) }, true},
	{"connect to an abstract socket of the host", func(t target) error { return talk("unix", t.Abstract) }, true},
	{"ask the agent that has ssh's keys", func(target) error { return talk("unix", os.Getenv("SSH_AUTH_SOCK")) }, true},
	{"tell the docker daemon", dockerDaemon, true},
	{"reach the internet by TCP", func(target) error { return talk("tcp", "1.1.1.1:53") }, false},
	{"reach the internet by UDP", route, false},
	{"resolve a name", func(target) error { _, err := net.LookupHost("example.org"); return err }, false},
	{"open a socket to the hypervisor", func(target) error { return anySocket(unix.AF_VSOCK, unix.SOCK_STREAM) }, false},
	{"open a raw socket", func(target) error { return anySocket(unix.AF_INET, unix.SOCK_RAW) }, false},
	{"open a packet socket", func(target) error { return anySocket(unix.AF_PACKET, unix.SOCK_RAW) }, false},
	{"see a process of the host", seeProcess, true},
	{"signal a process of the host", func(t target) error { return signalProcess(t) }, true},
	{"trace a process", func(target) error { return traceSelf() }, true},
	{"read the memory of the first process", func(target) error { return readable("/proc/1/mem") }, false},
	{"read the environment of the first process", func(target) error { return readable("/proc/1/environ") }, false},
	{"mount a file system", func(target) error { return unix.Mount("tmpfs", "/etc", "tmpfs", 0, "") }, false},
	{"mount a file system by the newer calls", func(target) error { _, err := unix.Fsopen("tmpfs", 0); return err }, false},
	{"unmount what hides parts of /proc", func(target) error { return unix.Unmount("/proc/sys", unix.MNT_DETACH) }, false},
	{"change the root directory back", func(target) error { return unix.PivotRoot("/", "/") }, false},
	{"make a user namespace", func(target) error { return unix.Unshare(unix.CLONE_NEWUSER) }, false},
	{"make a mount namespace", func(target) error { return unix.Unshare(unix.CLONE_NEWNS) }, false},
	{"clone into a user namespace", cloneUser, false},
	{"clone into a user namespace by the newer call", clone3User, false},
	{"change a setting of the kernel", func(target) error {
		return os.WriteFile("/proc/sys/kernel/domainname", []byte("x"), 0)
	}, false},
	{"press the system request key", func(target) error { return os.WriteFile("/proc/sysrq-trigger", []byte("h"), 0) }, false},
	{"read the kernel's memory", func(target) error { return readable("/proc/kcore") }, false},
	{"make a device", func(target) error { return unix.Mknod("/device", unix.S_IFBLK|0o600, 1<<8) }, false},
	{"load a program into the kernel", func(target) error { return call(unix.SYS_BPF, 0, 0, 0) }, false},
	{"ask for the keys of the user", func(target) error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, false); return err }, false},
	{"write to the program of the first process", func(target) error { return writable("/proc/1/exe") }, false},
	{"gain rights by a program", func(target) error { return gain() }, false},
	{"type into the terminal", func(target) error { return typeInto() }, false},
	{"find a capability too many", capabilities, false},
}

func readable(p string) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := f.Read(make([]byte, 1))
	if n == 1 {
		return nil
	}
	return errors.Join(errors.New("nothing is in it"), err)
}

func writable(p string) error {
	f, err := os.OpenFile(p, os.O_WRONLY, 0)
	if err == nil {
		f.Close()
	}
	return err
}

// aboveRoot is the classic way out of a root directory that isn't the root of
// its mounts.
func aboveRoot(t target) error {
	if err := os.MkdirAll("/jail", 0o755); err != nil {
		return err
	}
	top, err := os.Open("/")
	if err != nil {
		return err
	}
	defer top.Close()
	if err := unix.Chroot("/jail"); err != nil {
		return err
	}
	defer func() { _ = top.Chdir(); _ = unix.Chroot(".") }()
	if err := top.Chdir(); err != nil {
		return err
	}
	return readable(strings.Repeat("../", 30) + t.Dir + "/secret")
}

func openDescriptors(t target) error {
	for _, p := range processes() {
		for fd := range 64 {
			if readable(fmt.Sprintf("%s/fd/%d/%s/secret", p, fd, t.Dir)) == nil || readable(fmt.Sprintf("%s/fd/%d/secret", p, fd)) == nil {
				return nil
			}
		}
	}
	return fs.ErrNotExist
}

// processes are the directories of those that there are.
func processes() []string {
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	return all
}

// throughOthers reads what other processes of the sandbox have: their root
// directories, descriptors, memory and variables.
func throughOthers(t target) error {
	for _, p := range processes() {
		if p == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		for _, name := range []string{"root/etc", "root/s", "root" + t.Dir, "cwd", "fd/3", "environ"} {
			if _, err := os.ReadFile(filepath.Join(p, name)); err == nil || errors.Is(err, unix.EISDIR) {
				fmt.Println("open:", p, name)
				return nil
			}
		}
		if writable(p+"/mem") == nil {
			return nil
		}
	}
	return fs.ErrNotExist
}

func pathsOfHost(t target) error {
	for _, p := range []string{"/proc/self/mountinfo", "/proc/1/mountinfo", "/proc/self/maps", "/proc/1/cmdline", "/proc/1/environ"} {
		b, err := os.ReadFile(p)
		if err == nil && slices.ContainsFunc(t.Paths, func(p string) bool { return bytes.Contains(b, []byte(p)) }) {
			return nil
		}
	}
	return fs.ErrNotExist
}

func talk(network, address string) error {
	c, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 4))
	return err
}

// dockerDaemon connects to the one that the environment names, else to the one
// that is there as a rule.
func dockerDaemon(target) error {
	socket := strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://")
	return talk("unix", cmp.Or(socket, "/var/run/docker.sock"))
}

// route finds a way to an address, without an answer.
func route(target) error {
	c, err := net.Dial("udp", "1.1.1.1:53")
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("ping"))
	return err
}

func anySocket(family, kind int) error {
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func seeProcess(t target) error {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, p := range names {
		if b, err := os.ReadFile(p); err == nil && p != "/proc/self/cmdline" && bytes.HasSuffix(b, []byte(t.Mark+"\x00")) {
			return nil
		}
	}
	return fs.ErrNotExist
}

func signalProcess(t target) error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", t.PID))
	if err == nil && !bytes.Contains(b, []byte(t.Mark)) {
		return errors.New("that number is another process here")
	}
	return syscall.Kill(t.PID, 0)
}

// traceSelf starts a child that lets itself be traced.
func traceSelf() error {
	cmd := exec.Command(program())
	cmd.Args = []string{"echo"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return nil
}

func cloneUser(target) error {
	cmd := exec.Command(program())
	cmd.Args = []string{"echo"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	return cmd.Run()
}

// clone3User asks for a namespace and nothing else: the child, if there were
// one, ends at once.
func clone3User(target) error {
	args := struct{ flags, pidfd, childTID, parentTID, exit, stack, stackSize, tls uint64 }{flags: unix.CLONE_NEWUSER, exit: uint64(unix.SIGCHLD)}
	pid, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		syscall.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	return nil
}

// program is this program's file, as seen by itself.
func program() string {
	const own = "/proc/self/exe"
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return "/bin/act" // there is no /proc
}

func call(number, a, b, c uintptr) error {
	if _, _, errno := syscall.Syscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// gain succeeds if programs with the setuid bit would have an effect.
func gain() error {
	n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || n == 1 {
		return errors.Join(errors.New("programs give no rights"), err)
	}
	return nil
}

func typeInto() error {
	c := byte('x')
	err := call(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
	if errors.Is(err, unix.ENOTTY) {
		return nil // it was let through
	}
	return err
}

// capabilities succeeds if there is one that isn't among the eleven.
func capabilities(target) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil {
		return err
	}
	for c := range uintptr(64) {
		have := caps[c/32].Effective | caps[c/32].Permitted | caps[c/32].Inheritable
		bound, _ := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0) // an error says that there is no such capability
		if (have>>(c%32)&1 == 1 || bound == 1) && 0x800405fb>>c&1 == 0 {
			return nil
		}
	}
	return errors.New("there is none")
}

// inherited succeeds if a descriptor other than those of this process is open.
func inherited(target) error {
	for fd := 3; fd < 64; fd++ {
		p, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil && !strings.HasPrefix(p, "anon_inode:") && !strings.HasPrefix(p, "/proc") && !strings.HasPrefix(p, "/sys/fs/cgroup") {
			fmt.Println("open:", p)
			return nil
		}
	}
	return fs.ErrNotExist
}

// tryEscapes is the act: it prints which escapes worked. With "plain" it tries
// those alone that do no harm where there is no sandbox: the others would mount,
// make devices and set the kernel's names on this machine.
func tryEscapes(args []string) int {
	var t target
	if err := json.Unmarshal([]byte(os.Getenv("TARGET")), &t); err != nil {
		return status(err)
	}
	for _, e := range escapes {
		if !e.plain && slices.Contains(args, "plain") {
			continue
		}
		if err := e.try(t); err == nil {
			fmt.Println("escaped:", e.name)
		} else {
			fmt.Printf("held: %s: %v\n", e.name, err)
		}
	}
	return 0
}

// newTarget sets up what there is to get at.
func newTarget(t *testing.T) target {
	t.Helper()
	dir := openDir(t)
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	to := target{Dir: dir, Unix: filepath.Join(dir, "socket"), Abstract: fmt.Sprintf("@%s", dir), Mark: "mark" + dir}
	to.TCP = serve(t, "tcp", "127.0.0.1:0")
	serve(t, "unix", to.Unix)
	serve(t, "unix", to.Abstract)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	to.UDP = pc.LocalAddr().String()
	go func() {
		for b := make([]byte, 4); ; {
			_, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(b, from)
		}
	}()
	cmd := exec.Command(self(t))
	cmd.Args = []string{"sleep", to.Mark}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	to.PID = cmd.Process.Pid
	return to
}

// serve echoes what clients say.
func serve(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 4)
				_, _ = c.Read(b)
				_, _ = c.Write(b)
			}()
		}
	}()
	return l.Addr().String()
}

func (to target) env(t *testing.T) []string {
	t.Helper()
	b, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"TARGET=" + string(b)}
}

// TestEscapes shows that every wall holds, and, by trying the same outside, that
// what the walls keep from is there.
func TestEscapes(t *testing.T) {
	to := newTarget(t)
	left, err := unix.Open(to.Dir, unix.O_RDONLY, 0) // as a program leaves it that starts this one
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(left)
	cmd := exec.Command(self(t))
	agents := []string{"SSH_AUTH_SOCK=" + to.Unix, "DOCKER_HOST=unix://" + to.Unix}
	for _, kv := range agents { // for commands to inherit
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	cmd.Args, cmd.Env = []string{"escapes", "plain"}, append(to.env(t), agents...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("outside: %v\n%s", err, out)
	}
	for _, e := range escapes {
		if contained() && e.name == "trace a process" {
			continue // the filter that makes the container denies it
		}
		if e.plain && !strings.Contains(string(out), "escaped: "+e.name+"\n") {
			t.Errorf("without a sandbox: nobody could %s:\n%s", e.name, out)
		}
	}
	if err := os.Remove(filepath.Join(to.Dir, "written")); err != nil {
		t.Error(err)
	}
	eachRung(t, func(t *testing.T, b box) {
		to.Paths = []string{to.Dir, b.dir}
		if b.Name == sandbox.RungCopy {
			to.Paths = nil // the kernel tells where what is shown as / lies
		}
		for name, user := range map[string]sandbox.User{"as root": {}, "as a user": {UID: 1000, GID: 1000}} {
			out, res := b.act(t, sandbox.Command{Env: to.env(t), User: user}, "escapes")
			if res.Exit != 0 || strings.Count(out, "held:")+strings.Count(out, "escaped:") != len(escapes) {
				t.Errorf("%s: trying them ends with %+v:\n%s", name, res, out)
			}
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "escaped:") {
					t.Errorf("%s: %s", name, line)
					t.Log(out)
				}
			}
		}
		if _, err := os.Stat(filepath.Join(to.Dir, "written")); err == nil {
			t.Error("a file was written on the host")
		}
	})
}

// TestSurvive shows that nothing that a command left running outlives it, nor
// outlives this program when that is killed.
func TestSurvive(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		mark := "survivor" + b.dir
		if out, res := b.act(t, sandbox.Command{}, "daemon", mark); res.Exit != 0 || out != "started\n" {
			t.Fatalf("daemon prints %q and ends with %+v", out, res)
		}
		if n := running(t, mark); n != 0 {
			t.Errorf("%d processes outlived the command", n)
		}
		// The same with a caller that is killed while the command runs.
		cmd := exec.Command(self(t))
		cmd.Args = []string{"caller", b.Name, b.dir, b.lower, mark}
		said, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 100)
		if n, err := said.Read(first); err != nil || string(first[:n]) != "started\n" {
			t.Fatalf("the caller says %q, %v", first[:n], err)
		}
		if !settles(func() bool { return running(t, mark) == 1 }) {
			t.Error("the daemon is not seen while it runs")
		}
		if n := serving(t, b.dir); (b.Name == sandbox.RungFuse) != (n == 1) {
			t.Errorf("%d processes show the daemon its files", n)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Cleanup(func() { b.clean(t, filepath.Join(b.dir, "killed")) })
		if !settles(func() bool { return running(t, mark) == 0 }) {
			t.Error("the daemon outlived the caller")
		}
		if !settles(func() bool { return serving(t, b.dir) == 0 }) {
			t.Error("what shows a command its files outlived the caller")
		}
	})
}

// settles reports whether something becomes so in a while.
func settles(so func() bool) bool {
	for range 500 {
		if so() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// caller is an act outside: it runs a command that stays.
func caller(args []string) int {
	r, err := sandbox.Choose(context.Background(), args[1], args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, err = r.Run(context.Background(), sandbox.Command{
		Path: "/bin/daemon", Args: []string{args[3], "stay"}, Mounts: libraries(), Stdout: os.Stdout, Stderr: os.Stderr,
		Root: sandbox.Root{Lower: []string{args[2]}, Scratch: filepath.Join(args[1], "killed")},
	})
	return status(err)
}

// daemon is an act: it leaves a process that is nobody's child, in a session of
// its own.
func daemon(args []string) int {
	cmd := exec.Command(program())
	cmd.Args = []string{"middle", args[0]}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return status(err)
	}
	fmt.Println("started")
	if len(args) > 1 {
		time.Sleep(time.Hour)
	}
	return 0
}

func middle(args []string) int {
	cmd := exec.Command(program())
	cmd.Args = []string{"sleep", args[0]}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return status(cmd.Start())
}

// running counts the processes with an argument.
func running(t *testing.T, mark string) int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	return len(slices.DeleteFunc(names, func(p string) bool {
		b, err := os.ReadFile(p)
		return err != nil || !bytes.HasPrefix(b, []byte("sleep\x00"+mark+"\x00"))
	}))
}

// serving counts the programs that overlay what is in a directory.
func serving(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, p := range processes() {
		line, _ := os.ReadFile(p + "/cmdline") // it may have ended
		mounts, _ := os.ReadFile(p + "/mountinfo")
		if bytes.HasPrefix(line, []byte("fuse-overlayfs\x00")) && bytes.Contains(mounts, []byte(filepath.Base(dir)+"/lower ")) {
			n++
		}
	}
	return n
}

// TestSealed shows that a command that is this program itself, by way of /proc,
// can't change its file (CVE-2019-5736).
func TestSealed(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		if contained() {
			t.Skip("there is no /proc in the sandbox")
		}
		var out bytes.Buffer
		res, err := b.Run(t.Context(), sandbox.Command{
			Path: "/proc/self/exe", Root: b.root(t), Stdout: &out, Stderr: &out, Mounts: libraries(),
		})
		if err != nil || res.Exit != 0 {
			t.Errorf("it ends with %+v, %v: %s", res, err, &out)
		}
	})
}

// exe is the act of this program as /proc/self/exe.
func exe([]string) int {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return status(err)
	}
	defer f.Close()
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err == nil { // a copy in memory
		if want := unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL; seals&want != want {
			return status(fmt.Errorf("the copy has the seals %#x", seals))
		}
		return 0
	}
	// That it runs would be a reason too (ETXTBSY), but one that passes.
	if w, err := os.OpenFile("/proc/self/exe", os.O_WRONLY, 0); !errors.Is(err, unix.EACCES) {
		w.Close()
		return status(fmt.Errorf("opening it to write: %w", err))
	}
	if err := os.Chmod("/proc/self/exe", 0o777); !errors.Is(err, unix.EPERM) {
		return status(fmt.Errorf("letting everybody write to it: %w", err))
	}
	return 0
}

// TestSetuid shows that a program with the setuid bit that a command leaves is of
// no use to others on the host.
func TestSetuid(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		root := b.root(t)
		if out, res := b.act(t, sandbox.Command{Root: root}, "change"); res.Exit != 0 {
			t.Fatalf("change: %s", out)
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(root.Scratch, "upper/made/setuid"), &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode&unix.S_ISUID == 0 {
			t.Error("the file has no setuid bit")
		}
		if st.Uid == 0 && !contained() { // there only the directory keeps others from it
			t.Error("the file belongs to root of the host")
		}
		if info, err := os.Stat(root.Scratch); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the scratch directory is %v, %v: others can enter it", info.Mode(), err)
		}
	})
}

//go:embed testdata/setup.py
var malicious string

// TestMaliciousSetup shows that a setup.py that tries it all gets nothing, and is
// ended by the limit that it passes.
func TestMaliciousSetup(t *testing.T) {
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		t.Skip(err)
	}
	to := newTarget(t)
	setup := filepath.Join(to.Dir, "setup.py")
	if err := os.WriteFile(setup, []byte(malicious), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, setup, "plain")
	cmd.Env = to.env(t)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "escaped: connect to the host\n") {
		t.Fatalf("outside it ends with %v and says\n%s", err, out)
	}
	_ = os.Remove(filepath.Join(to.Dir, "written"))
	eachRung(t, func(t *testing.T, b box) {
		var out bytes.Buffer
		_, err := b.Run(t.Context(), sandbox.Command{
			Path: python, Args: []string{"/src/setup.py"}, Env: append(to.env(t), "PATH=/usr/bin:/bin"), Stdout: &out, Stderr: &out,
			Root:   sandbox.Root{Scratch: b.scratch(t)},
			Mounts: append(sandbox.HostTools(), sandbox.Mount{Target: "/src/setup.py", Source: setup}),
			Limits: sandbox.Limits{Processes: 100, Disk: 100 << 20, Memory: 1 << 30},
		})
		if contained() {
			refused(t, err)
			return
		}
		var limit *sandbox.LimitError
		if !errors.As(err, &limit) || limit.Limit != "disk" {
			t.Errorf("it ends with %v, want the limit of the disk", err)
		}
		if strings.Contains(out.String(), "escaped:") || strings.Count(out.String(), "held:") != 20 {
			t.Errorf("it says\n%s", &out)
		}
		if n := running(t, "-c\x00import time; time.sleep(3600)\x00survivor"+to.Dir); n != 0 {
			t.Errorf("%d processes outlived it", n)
		}
		if _, err := os.Stat(filepath.Join(to.Dir, "written")); err == nil {
			t.Error("a file was written on the host")
		}
	})
}
