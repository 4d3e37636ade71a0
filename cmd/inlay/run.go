// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"inlay/assemble/rootfs"
	"inlay/cache"
	"inlay/cache/disk"
	"inlay/cmd/inlay/launch"
	"inlay/resolve/sandbox"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run an image, with no container engine",
		ArgsUsage: "IMAGE [-- COMMAND...]",
		Description: examples("Runs the image's command, or COMMAND, in a sandbox, with the image's environment, user, working directory\n"+
			"and entrypoint, by the rules of docker run. What it changes is gone when it ends, and its exit status is\n"+
			"that of inlay; 125 means that inlay failed, 126 and 127 that the command can't be executed or isn't there.\n"+
			"IMAGE is what build prints, a reference in a registry, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE.",
			"inlay run $(inlay build)",
			"inlay run -it python:3.12-slim -- python",
			"inlay run -e MODE=test -v .:/data:ro -p 8080:80 oci:image:v1"),
		Flags:        runFlags(),
		OnUsageError: usageProblem,
		Action:       runImage,
	}
}

func runFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set a variable to `NAME=VALUE`, or NAME to what it is here; may be given several times"},
		&cli.StringSliceFlag{Name: "volume", Aliases: []string{"v"}, Usage: "show a file or directory of this machine in the image: `SOURCE:TARGET[:ro]`; may be given several times"},
		&cli.StringSliceFlag{Name: "publish", Aliases: []string{"p"}, Usage: "answer at a port of this machine for one inside: `[[ADDRESS:]PORT:]INSIDE`; may be given several times"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `USER[:GROUP]`, names of the image or numbers"},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "run in the directory `DIR` of the image"},
		&cli.StringFlag{Name: "entrypoint", Usage: "run `PROGRAM` in place of the image's entrypoint and command; \"\" runs COMMAND alone"},
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "let the command read standard input"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the command a terminal"},
		choice("network", "let the command reach `NETWORK`", "host", "host", "none"),
		sandboxFlag(),
		&cli.StringFlag{Name: "platform", Usage: "of an image for several, take that for `OS/ARCH`"},
		&cli.BoolFlag{Name: "offline", Usage: "use what the cache has, and no network, to get the image"},
	}
	return append(append(flags, registryFlags()...), globalFlags()...)
}

// ownFailure is the status for what the command had no part in, as with docker.
const ownFailure = 125

// A statusError is an error that says what the exit status is.
type statusError struct {
	error
	status int
}

// Unwrap returns the error without the status.
func (e *statusError) Unwrap() error { return e.error }

func runImage(c *cli.Context) error {
	err := runNamed(c)
	var verdict verdictError
	var start *sandbox.StartError
	switch {
	case err == nil || errors.As(err, &verdict):
		return err
	case errors.As(err, &start) && errors.Is(err, fs.ErrNotExist):
		return &statusError{err, 127}
	case errors.As(err, &start):
		return &statusError{err, 126}
	default:
		return &statusError{err, ownFailure}
	}
}

func runNamed(c *cli.Context) error {
	if c.NArg() == 0 {
		return &usageError{"run takes an IMAGE", "write inlay run IMAGE, or inlay run $(inlay build)"}
	}
	t, err := newTerminal(c)
	if err != nil {
		return err
	}
	show := display(c)
	defer show.Close()
	s, err := open(c, show, nil, nil)
	if err != nil {
		return err
	}
	defer s.close()
	r, err := s.rung()
	if err != nil {
		return err
	}
	if r.Name == sandbox.RungChroot && c.IsSet("publish") && c.String("network") != "host" {
		return &usageError{"nothing can listen in the sandbox chroot", "leave out --publish, or give the command this machine's network: --network host"}
	}
	command, tree, err := s.launch(c, treesShown(s.cache, r, show, runtime.NumCPU()))
	if err != nil {
		return err
	}
	scratch, remove, err := disk.Scratch(c.Context, s.cache.Path(cache.Trees))
	if err != nil {
		return err
	}
	defer remove()
	command.Root = sandbox.Root{Lower: tree.Dirs, Scratch: filepath.Join(scratch, "root")}
	defer r.Remove(context.WithoutCancel(c.Context), command.Root.Scratch) //nolint:errcheck // if not now, then with the next build
	show.Close()
	return t.run(c, r, command)
}

// launch opens the image, unpacks it, and returns what running it means.
func (s *site) launch(c *cli.Context, store *rootfs.Store) (sandbox.Command, *rootfs.Tree, error) {
	fail := func(err error) (sandbox.Command, *rootfs.Tree, error) { return sandbox.Command{}, nil, err }
	img, err := s.image(c, s.kept(c.Args().First()))
	if err != nil {
		return fail(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return fail(err)
	}
	all, err := img.Layers()
	if err != nil {
		return fail(err)
	}
	tree, err := store.Tree(c.Context, all)
	if err != nil {
		return fail(err)
	}
	command, err := launch.Command(config.Config, tree.ReadFile, launchOptions(c, img))
	if err != nil {
		return fail(err)
	}
	own, err := network(c, &command)
	if err != nil {
		return fail(err)
	}
	// What is asked for stands over what every command gets.
	command.Mounts = append(own, command.Mounts...)
	return command, tree, nil
}

// kept returns the name of the image of a digest in the cache, where builds put
// those that were to go nowhere else. Other names stay as they are.
func (s *site) kept(name string) string {
	if _, err := v1.NewHash(name); err == nil && strings.HasPrefix(name, "sha256:") {
		return "oci:" + s.cache.Path(cache.Images) + "@" + name
	}
	return name
}

func launchOptions(c *cli.Context, img namedImage) launch.Options {
	o := launch.Options{
		Command: c.Args().Tail(), Env: c.StringSlice("env"), Lookup: os.LookupEnv,
		User: c.String("user"), WorkDir: c.String("workdir"), Volumes: c.StringSlice("volume"),
		Terminal: c.Bool("tty"), Hostname: hostname(c, img),
	}
	if c.IsSet("entrypoint") {
		e := c.String("entrypoint")
		o.Entrypoint = &e
	}
	return o
}

// hostname is this machine's with its network, else the beginning of the image's
// digest.
func hostname(c *cli.Context, img namedImage) string {
	if c.String("network") == "host" {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	if digest, err := img.Digest(); err == nil {
		return digest.Hex[:12]
	}
	return "inlay"
}

// network gives the command a network, and the files that tell of it.
func network(c *cli.Context, command *sandbox.Command) ([]sandbox.Mount, error) {
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.0.1\t" + command.Hostname + "\n"
	files := map[string][]byte{"/etc/hosts": []byte(hosts), "/etc/resolv.conf": {}, "/etc/hostname": []byte(command.Hostname + "\n")}
	if c.String("network") == "host" {
		command.Network = sandbox.HostNetwork
		for _, name := range []string{"/etc/hosts", "/etc/resolv.conf"} {
			b, err := os.ReadFile(name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("reading how this machine finds hosts: %w", err)
			}
			files[name] = append(files[name][:0:0], b...)
		}
	}
	var mounts []sandbox.Mount
	for _, name := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"} {
		mounts = append(mounts, sandbox.Mount{Target: name, Content: append([]byte{}, files[name]...), Mode: 0o644})
	}
	return mounts, nil
}
