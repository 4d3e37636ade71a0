// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"inlay/resolve/settings"
)

// globalFlags are those of every command.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cache-dir", Usage: "keep the cache in `DIR`", EnvVars: []string{"INLAY_CACHE_DIR"}, DefaultText: "in the user's cache directory"},
		choice("progress", "show work as `MODE`", "auto", "auto", "tty", "plain", "json", "none"),
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "show nothing but the result and errors"},
	}
}

// planFlags are those of build and plan: what decides about the image. The commands
// that have them share them, of which one runs.
func planFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "read the settings from `FILE`", DefaultText: "inlay.yaml in CONTEXT, if there is one"},
		&cli.StringSliceFlag{Name: "step", Usage: "only the images that the step `NAME` of the pipeline runs in; may be given several times", DefaultText: "the pipeline's image, and those of all steps whose settings differ"},
		&cli.StringSliceFlag{Name: "tag", Aliases: []string{"t"}, Usage: "name the image `REF`; may be given several times"},
		&cli.BoolFlag{Name: "push", Usage: "push the image: the same as --output registry"},
		&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Usage: "deliver the image to `OUTPUT`: registry, engine[:docker|podman|containerd], oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE; may be given several times"},
		pathFlag{&cli.StringSliceFlag{Name: "set", Usage: "set any other setting, `PATH=YAML`; may be given several times"}},
		&cli.BoolFlag{Name: "refresh", Usage: "resolve anew; build and lock then renew the lock file"},
		&cli.BoolFlag{Name: "strict", Usage: "fail where later requirements break earlier ones or the parent's packages, in place of a warning"},
		&cli.BoolFlag{Name: "offline", Usage: "use what the cache has, and no network"},
		&cli.BoolFlag{Name: "no-cache", Usage: "make every layer anew"},
		&cli.IntFlag{Name: "jobs", Usage: "make `N` layers at a time", Value: runtime.NumCPU(), DefaultText: "the number of CPUs"},
	}
	flags = append(flags, allowHostFlag(), secretFlag(), sandboxFlag())
	flags = append(append(append(flags, indexFlags()...), settingFlags()...), registryFlags()...)
	return append(flags, globalFlags()...)
}

// indexFlags name package indexes.
func indexFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "index-url", Usage: "find packages in the index at `URL`", DefaultText: "UV_DEFAULT_INDEX, UV_INDEX_URL or PIP_INDEX_URL, else uv's own"},
		&cli.StringSliceFlag{Name: "extra-index-url", Usage: "find packages in the index at `URL` first; may be given several times"},
	}
}

// short are the one-letter forms of the settings' flags.
var short = map[string]string{"requirement": "r"}

// settingFlags are the flags that the settings themselves list: one for each
// common field, as the strongest level.
func settingFlags() []cli.Flag {
	var flags []cli.Flag
	for _, f := range settings.Fields() {
		for _, long := range f.Flags {
			name := strings.TrimPrefix(long, "--")
			flags = append(flags, settingFlag(name, f))
		}
	}
	return flags
}

// settingFlag is a flag that may be given several times where the setting holds
// several values.
func settingFlag(name string, f settings.Field) cli.Flag {
	var aliases []string
	if s := short[name]; s != "" {
		aliases = []string{s}
	}
	if name == "requirement" || name == "apt-package" || name == "platform" || f.Type == "mapping of strings" {
		return &cli.StringSliceFlag{Name: name, Aliases: aliases, Usage: usage(name, f)}
	}
	one := &cli.StringFlag{Name: name, Aliases: aliases, Usage: usage(name, f)}
	if len(f.Values) > 0 {
		return choiceFlag{one, f.Values}
	}
	return one
}

// given returns the values that a setting's flag was given, if it is one of those
// that are set: asking the library for each takes a look at every flag there is.
func given(c *cli.Context, name string, set []string) []string {
	if !slices.Contains(set, name) {
		return nil
	}
	if values := c.StringSlice(name); len(values) > 0 {
		return values
	}
	return []string{c.String(name)}
}

// isFile reports whether a setting's flag names a file.
func isFile(name string) bool {
	return slices.Contains([]string{"requirements", "pyproject", "dockerignore", "lock", "keyring", "dockerfile"}, name)
}

// usage describes the flag of a setting in one line. The first words in
// backquotes are what --help calls its value.
func usage(name string, f settings.Field) string {
	value, more := "`VALUE`", ""
	switch {
	case isFile(name):
		value = "`FILE`"
	case name == "parent-image":
		value = "`IMAGE`"
	case f.Type == "mapping of strings":
		value, more = "`NAME=VALUE`", "; may be given several times"
	case name == "apt-package":
		value, more = "`NAME`", "; may be given several times"
	case name == "platform":
		value, more = "`OS/ARCH`", "; several with commas, or given several times"
	case name == "apt-mirror":
		value = "`URL`"
	case name == "target":
		value = "`STAGE`"
	case name == "requirement":
		value, more = "`SPEC`", "; may be given several times"
	}
	doc := strings.ReplaceAll(strings.TrimSuffix(f.Doc, "."), "`", "")
	return fmt.Sprintf("the setting %s as %s: %s%s", strings.TrimPrefix(f.Name, "settings.docker."), value, doc, more)
}

// loadSettings reads the settings file and puts the flags over it.
func loadSettings(c *cli.Context, context string) (*settings.Run, []settings.Warning, error) {
	o := settings.Options{Lookup: os.LookupEnv, Overrides: overrides(c)}
	name := c.String("file")
	if name == "" {
		if name = settingsFile(context); name == "" {
			return settings.LoadRun(filepath.Join(context, "inlay.yaml"), nil, o)
		}
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &usageError{fmt.Sprintf("there is no settings file %s", name), "check the path; without --file, inlay.yaml in CONTEXT is read if there is one"}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the settings: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	return settings.LoadRun(name, f, o)
}

// settingsFile returns the settings file of a context, "" if it has none.
func settingsFile(context string) string {
	for _, name := range []string{"inlay.yaml", "inlay.yml"} {
		// Not Stat: a link that leads nowhere was meant to be read.
		path := filepath.Join(context, name)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return path
		}
	}
	return ""
}

// overrides collects the flags that stand for settings. A file that a flag
// names is one of the working directory, as with any other program; one that
// the settings file names is one of the context.
func overrides(c *cli.Context) []settings.Override {
	var all []settings.Override
	set := c.FlagNames()
	for _, f := range settings.Fields() {
		for _, long := range f.Flags {
			name := strings.TrimPrefix(long, "--")
			values := given(c, name, set)
			if isFile(name) && !slices.Equal(values, []string{"false"}) { // --lock false
				values = absolute(values)
			}
			all = append(all, settings.Override{Flag: long, Values: values})
		}
	}
	return append(all, settings.Override{Flag: "--set", Values: c.StringSlice("set")})
}

func absolute(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if abs, err := filepath.Abs(p); err == nil && p != "" {
			out[i] = abs
		}
	}
	return out
}

// checkFlags refuses values that the library takes.
func checkFlags(c *cli.Context) error {
	if n := c.Int("jobs"); n < 1 {
		return &usageError{fmt.Sprintf("--jobs %d makes no layers", n), "give a number from 1"}
	}
	if c.Bool("refresh") && c.Bool("offline") {
		return &usageError{"--refresh asks anew, and --offline leaves nobody to ask", "leave one of them out"}
	}
	return checkPlanFlags(c)
}

// besidePlan are the settings that count for a plan from a file: what the image
// is called, and how its wheels are reached.
var besidePlan = []string{
	"name", "registry", "settings.docker.target_repository", "settings.docker.image_tag", "settings.docker.indexes",
}

// checkPlanFlags refuses flags about what a plan from a file has decided.
func checkPlanFlags(c *cli.Context) error {
	if c.String("plan") == "" {
		return nil
	}
	decided := []string{"refresh", "strict"}
	for _, f := range settingFlags() {
		if name := f.Names()[0]; name != "build-arg" { // whose values no plan holds
			decided = append(decided, name)
		}
	}
	for _, name := range decided {
		if c.IsSet(name) {
			return decidedError("--" + name)
		}
	}
	for _, s := range c.StringSlice("set") {
		path, _, _ := strings.Cut(s, "=")
		if !slices.Contains(besidePlan, path) && !slices.Contains(besidePlan, "settings.docker."+path) {
			return decidedError("--set " + path)
		}
	}
	return nil
}

func decidedError(flag string) error {
	return &usageError{flag + " changes nothing: the plan of --plan is decided", "leave it out, or give it to the `inlay plan` that writes the plan"}
}

// contextDir returns the one argument of build and plan.
func contextDir(c *cli.Context) (string, error) {
	switch c.NArg() {
	case 0:
		return ".", nil
	case 1:
		return c.Args().First(), nil
	default:
		return "", &usageError{fmt.Sprintf("%s takes one CONTEXT, not %d arguments", c.Command.Name, c.NArg()), "quote what belongs together"}
	}
}
