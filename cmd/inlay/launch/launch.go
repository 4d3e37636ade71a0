// SPDX-License-Identifier: Apache-2.0

// Package launch says what running an image means: which program, as whom, in
// which directory, with which environment and files. It follows the rules of
// docker run, so that what works here works there.
package launch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/sys/user"

	"inlay/resolve/sandbox"
)

// Options are what somebody asks for beside what the image says.
type Options struct {
	Command    []string // in place of the image's Cmd
	Entrypoint *string  // in place of the image's, which is without its Cmd then; "" is none
	Env        []string // "NAME=VALUE", or "NAME" for the value that Lookup has
	Lookup     func(name string) (string, bool)
	User       string // "NAME|UID[:GROUP|GID]"; "" is the image's
	WorkDir    string // "" is the image's
	Volumes    []string
	Hostname   string
	Terminal   bool
}

// defaultPath is where programs are looked for if the image doesn't say.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A RequestError reports something that can't be had.
type RequestError struct{ Problem, Fix string }

func (e *RequestError) Error() string { return e.Problem }

// Hint says what can.
func (e *RequestError) Hint() string { return e.Fix }

// Command returns what running an image of the configuration c is, as far as
// that follows from c, the image's files, which read opens, and o.
func Command(c v1.Config, read func(name string) ([]byte, error), o Options) (sandbox.Command, error) {
	args, err := program(c, o)
	if err != nil {
		return sandbox.Command{}, err
	}
	who, err := account(c, read, o)
	if err != nil {
		return sandbox.Command{}, err
	}
	dir := "/"
	for _, d := range []string{c.WorkingDir, o.WorkDir} {
		if d != "" {
			dir = d
		}
	}
	if !path.IsAbs(dir) {
		return sandbox.Command{}, &RequestError{fmt.Sprintf("the working directory %q is not an absolute path", dir), "write it with a slash in front: --workdir /" + dir}
	}
	mounts, err := volumes(o.Volumes)
	if err != nil {
		return sandbox.Command{}, err
	}
	return sandbox.Command{
		Path: args[0], Args: args[1:], Dir: path.Clean(dir), Env: environment(c, who, o),
		Terminal: o.Terminal, Hostname: o.Hostname, Mounts: mounts,
		User: sandbox.User{UID: who.Uid, GID: who.Gid, Groups: who.Sgids},
	}, nil
}

// program returns the words of the command: the entrypoint's, then those of the
// command or of the image's. An entrypoint that is asked for drops the image's
// command, which was for another.
func program(c v1.Config, o Options) ([]string, error) {
	entrypoint, cmd := c.Entrypoint, c.Cmd
	if o.Entrypoint != nil {
		entrypoint, cmd = nil, nil
		if *o.Entrypoint != "" {
			entrypoint = []string{*o.Entrypoint}
		}
	}
	if len(o.Command) > 0 {
		cmd = o.Command
	}
	args := slices.Concat(entrypoint, cmd)
	if len(args) == 0 || args[0] == "" {
		return nil, &RequestError{"the image has no command to run", "give one: inlay run IMAGE -- COMMAND"}
	}
	return args, nil
}

// account returns whom the command runs as, by the image's own accounts.
func account(c v1.Config, read func(name string) ([]byte, error), o Options) (*user.ExecUser, error) {
	asked := c.User
	if o.User != "" {
		asked = o.User
	}
	var files [2][]byte
	for i, name := range []string{"etc/passwd", "etc/group"} {
		var err error
		if files[i], err = read(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the image's accounts: %w", err)
		}
	}
	who, err := user.GetExecUser(asked, &user.ExecUser{Home: "/"}, bytes.NewReader(files[0]), bytes.NewReader(files[1]))
	if err != nil {
		return nil, &RequestError{fmt.Sprintf("the image has no user %q: %v", asked, err), "name one of its /etc/passwd and /etc/group, or give numbers: --user 1000:1000"}
	}
	return who, nil
}

// environment returns the variables: docker's own, the image's and those that
// are asked for, each in place of one of its name.
func environment(c v1.Config, who *user.ExecUser, o Options) []string {
	env := []string{"PATH=" + defaultPath, "HOSTNAME=" + o.Hostname}
	if o.Terminal {
		env = append(env, "TERM=xterm")
	}
	for _, kv := range c.Env {
		env = set(env, kv)
	}
	for _, kv := range o.Env {
		if !strings.Contains(kv, "=") {
			value, ok := o.Lookup(kv)
			if !ok {
				env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, kv+"=") })
				continue
			}
			kv += "=" + value
		}
		env = set(env, kv)
	}
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		env = append(env, "HOME="+who.Home)
	}
	return env
}

// set puts kv in place of the variable of its name, or at the end.
func set(env []string, kv string) []string {
	name, _, _ := strings.Cut(kv, "=")
	for i, e := range env {
		if strings.HasPrefix(e, name+"=") {
			env[i] = kv
			return env
		}
	}
	return append(env, kv)
}
