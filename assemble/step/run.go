// SPDX-License-Identifier: Apache-2.0

package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/moby/sys/user"

	"inlay/assemble/rootfs"
	"inlay/cache/disk"
	"inlay/layers"
	"inlay/resolve/plan"
	"inlay/resolve/sandbox"
)

// A Sandbox is what the commands of Run steps run in.
type Sandbox struct {
	Rung    *sandbox.Rung
	Trees   *rootfs.Store // of the rung's owners
	Scratch string        // a directory for what lives as long as a command, on the disk of Trees
	// Network opens the network that a command may reach, with these hosts beside
	// what all may; nil leaves it a loopback.
	Network func(ctx context.Context, hosts []string) (Network, error)
	// Foreign is the platform of the image if it isn't this machine's, else "".
	Foreign string
	// Secrets are files that commands can read, and that no layer may hold: what
	// searches the layers knows them. They have no part in keys.
	Secrets []Secret
	Limits  sandbox.Limits
}

// A Secret is a file in /run/secrets, in memory.
type Secret struct {
	ID      string // its name there
	Content []byte
}

// A Network is what a command can reach beside its loopback.
type Network struct {
	Env     []string // that tells programs of it
	Ports   []sandbox.Port
	Refused func() error    // what was asked for and not had, nil if nothing was
	Asked   func() []string // what was asked for, in words, once the command has ended; nil knows nothing
	Close   func()
}

// elsewhere are the variables of an image that would send programs past the
// Network that there is: an index has another URL inside, and no credentials.
var elsewhere = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_PROXY",
	"UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX", "UV_OFFLINE",
}

// hosts is the file /etc/hosts of a command: no name is known outside.
const hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"

// run runs the command of r over all that is below, and adds what it changed.
func (l *layer) run(ctx context.Context, r plan.Run) error {
	if len(r.Command) == 0 {
		return nil
	}
	if r.Configure {
		return l.configure(ctx, r)
	}
	return l.command(ctx, r)
}

func (l *layer) command(ctx context.Context, r plan.Run) error {
	if l.tools.Sandbox == nil {
		return errors.New("no sandbox was given to run its command in")
	}
	s, err := l.tools.Sandbox(ctx)
	if err != nil {
		return fmt.Errorf("running %s: %w", r.Setting, err)
	}
	tree, err := s.Trees.Tree(ctx, l.tools.Below)
	if err != nil {
		return err
	}
	dir, remove, err := disk.Scratch(ctx, s.Scratch)
	if err != nil {
		return err
	}
	defer remove()
	root := sandbox.Root{Lower: tree.Dirs, Scratch: filepath.Join(dir, "root")}
	defer s.Rung.Remove(context.WithoutCancel(ctx), root.Scratch) //nolint:errcheck // if not now, then with the next build
	if l.asked, err = s.command(ctx, r, root, tree, l.tools); err != nil {
		return err
	}
	for i, a := range l.asked {
		l.asked[i] = l.tools.Secrets.Hide(a) // a name that was asked for may be anything
	}
	if len(l.asked) > 0 {
		l.note("%s asked %s", r.Setting, strings.Join(l.asked, ", "))
	}
	to := owned{named: named{l}, own: r.Own}
	if s.Rung.OneID() { // nobody knows any more whose the files of the layers are
		if to.below, err = tree.View(); err != nil {
			return err
		}
	}
	at := epoch(r.Created).Unix()
	if !r.Configure {
		return s.Rung.Diff(ctx, root, at, to)
	}
	if s.Rung.OneID() {
		l.report = append(l.report, "apt: "+oneOwner)
	}
	return s.Rung.Diff(ctx, root, at, lasting{Writer: to, epoch: at, gone: map[string]bool{}})
}

// command runs the command of r on root, which is over tree, and returns what it
// asked of the network.
func (s *Sandbox) command(ctx context.Context, r plan.Run, root sandbox.Root, tree *rootfs.Tree, t Tools) (asked []string, err error) {
	network := Network{Refused: func() error { return nil }, Close: func() {}}
	if s.Network != nil && !r.Configure {
		if network, err = s.Network(ctx, r.Hosts); err != nil {
			return nil, err
		}
	}
	defer network.Close()
	if err := s.checkSecrets(r); err != nil {
		return nil, err
	}
	who, err := account(r, tree)
	if err != nil {
		return nil, err
	}
	env, err := surroundings(r, who, network.Env, t.Args)
	if err != nil {
		return nil, err
	}
	said := &tail{}
	res, err := s.Rung.Run(ctx, sandbox.Command{
		Path: r.Command[0], Args: r.Command[1:], Dir: r.Dir, Env: env,
		User:   sandbox.User{UID: who.Uid, GID: who.Gid, Groups: who.Sgids},
		Stdout: said, Stderr: said, Root: root, Ports: network.Ports, Limits: s.Limits, Mounts: s.mounts(r, env),
	})
	switch {
	case s.Foreign != "" && cannotExecute(err):
		return nil, &ForeignError{Setting: r.Setting, Platform: s.Foreign}
	case ctx.Err() != nil && (err != nil || res.Exit != 0):
		return nil, ctx.Err()
	case err != nil || res.Exit != 0:
		return nil, &CommandError{
			Setting: r.Setting, Command: t.Secrets.Hide(strings.Join(r.Command, " ")), Exit: res.Exit,
			Output: t.Secrets.Hide(said.String()), Err: errors.Join(err, network.Refused()),
		}
	case network.Asked == nil:
		return nil, nil
	default:
		return network.Asked(), nil
	}
}

// checkSecrets returns a *SecretError if r asks for a secret that wasn't given.
func (s *Sandbox) checkSecrets(r plan.Run) error {
	for _, id := range r.Secrets {
		if !slices.ContainsFunc(s.Secrets, func(x Secret) bool { return x.ID == id }) {
			return &SecretError{Setting: r.Setting, ID: id}
		}
	}
	return nil
}

// mounts are what r's command has in the place of the image's, and what is in no
// layer, whatever it does there. The scripts of packages get no secrets.
func (s *Sandbox) mounts(r plan.Run, env []string) []sandbox.Mount {
	all := []sandbox.Mount{{Target: "/etc/hosts", Content: []byte(hosts), Mode: 0o644}}
	if !r.Exact {
		all = append(all, sandbox.Mount{Target: path.Join("/", home(env), ".cache"), Tmpfs: true, Mode: 0o700})
	}
	for _, dir := range r.Caches {
		all = append(all, sandbox.Mount{Target: dir, Tmpfs: true})
	}
	if r.Configure {
		return append(all, sandbox.Mount{Target: "/usr/sbin/policy-rc.d", Content: []byte(noServices), Mode: 0o755})
	}
	for _, x := range s.Secrets {
		if at := path.Join("/run/secrets", x.ID); !r.Exact || slices.Contains(r.Secrets, x.ID) {
			all = append(all, sandbox.Mount{Target: at, Content: x.Content, Mode: 0o400})
		}
	}
	return all
}

// cannotExecute reports whether err is that of programs of another machine,
// or that of the emulator that isn't in the sandbox.
func cannotExecute(err error) bool {
	var start *sandbox.StartError
	return errors.As(err, &start) && (errors.Is(err, syscall.ENOEXEC) || errors.Is(err, fs.ErrNotExist))
}

// surroundings returns the variables of r's command: its own, and those that
// make that it writes the same another time. Modules that happen to be imported
// leave no bytecode, that of installed ones doesn't depend on the time.
func surroundings(r plan.Run, who *user.ExecUser, network []string, args map[string]string) ([]string, error) {
	env := slices.Clone(r.Env)
	for _, name := range r.Args {
		value, ok := args[name]
		if !ok {
			return nil, &ArgError{Setting: r.Setting, Name: name}
		}
		env = append(env, name+"="+value)
	}
	if network != nil {
		env = slices.DeleteFunc(env, func(kv string) bool {
			name, _, _ := strings.Cut(kv, "=")
			if r.Exact { // a command that names an index of its own means it
				return strings.HasSuffix(strings.ToUpper(name), "_PROXY") && slices.Contains(elsewhere, strings.ToUpper(name))
			}
			return slices.Contains(elsewhere, strings.ToUpper(name))
		})
	}
	for _, kv := range slices.Concat(network, []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + who.Home,
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch(r.Created).Unix()), "PYTHONDONTWRITEBYTECODE=1",
	}) {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			env = append(env, kv)
		}
	}
	return env, nil
}

// account returns whom r's command runs as.
func account(r plan.Run, tree *rootfs.Tree) (*user.ExecUser, error) {
	if r.User == "" {
		return &user.ExecUser{Home: "/root"}, nil
	}
	var files [2][]byte
	for i, name := range []string{"etc/passwd", "etc/group"} {
		var err error
		if files[i], err = tree.ReadFile(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the image's accounts: %w", err)
		}
	}
	who, err := user.GetExecUser(r.User, &user.ExecUser{Home: "/"}, bytes.NewReader(files[0]), bytes.NewReader(files[1]))
	if err != nil {
		return nil, &UserError{Setting: r.Setting, User: r.User}
	}
	return who, nil
}

func home(env []string) string {
	for _, kv := range env {
		if dir, ok := strings.CutPrefix(kv, "HOME="); ok {
			return dir
		}
	}
	return "/root"
}

// owned gives what a command made to those whom it belongs to.
type owned struct {
	named
	below *layers.View // whose files keep their owners; nil: they have them
	own   []plan.Owner
}

// Add adds an entry for its owner.
func (o owned) Add(e layers.Entry, body io.Reader) error {
	if o.below != nil {
		if was, err := o.below.Lstat(e.Path); err == nil && was.Mode().Type() == e.Mode.Type() {
			if b, ok := was.Sys().(layers.Entry); ok {
				e.UID, e.GID = b.UID, b.GID
			}
		}
	}
	for _, to := range o.own {
		if above(to.Path, "/"+e.Path) {
			e.UID, e.GID = to.UID, to.GID
		}
	}
	return o.named.Add(e, body)
}

// kept is how much of what a command says is kept, in bytes: its end.
const kept = 16 << 10

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	b    []byte
	more bool // than b
}

// Write keeps the end of p, and of what came before it.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if extra := len(t.b) - kept; extra > 0 {
		t.b, t.more = append(t.b[:0], t.b[extra:]...), true
	}
	return len(p), nil
}

// String returns whole lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := string(t.b)
	if t.more {
		_, s, _ = strings.Cut(s, "\n")
	}
	return strings.TrimRight(s, "\n")
}
