// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"inlay/assemble/script"
	"inlay/layers/version"
)

// commands are dpkg's own, as its scripts call them. E is the package that the
// script belongs to.
func (i *installer) commands(e *entry) map[string]script.Command {
	all := map[string]script.Command{
		"dpkg": i.dpkg, "dpkg-query": i.query, "dpkg-statoverride": i.statoverride, "dpkg-trigger": i.trigger, "dpkg-realpath": i.realpath,
		"py3clean": i.cleanPython, "pypy3clean": i.cleanPython,
		"dpkg-divert": func(_ context.Context, c *script.Call) error { return i.diversion(c, e) },
	}
	if e.name == "libc6" {
		all["uname"] = kernel
	}
	return all
}

// dpkg is dpkg(1): questions only.
func (i *installer) dpkg(ctx context.Context, c *script.Call) error {
	args := c.Args[1:]
	if len(args) == 0 {
		return c.Usage()
	}
	switch args[0] {
	case "--compare-versions":
		args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--" })
		if len(args) != 4 {
			return c.Usage()
		}
		if compareVersions(args[1], args[2], args[3]) {
			return nil
		}
		return script.Exit(1)
	case "--print-architecture":
		fmt.Fprintln(c.Out, i.architecture())
		return nil
	case "--print-foreign-architectures", "--assert-multi-arch", "--assert-support-predepends", "--assert-working-epoch":
		return nil
	case "--validate-version", "--validate-pkgname":
		value := args[len(args)-1]
		if (len(args) == 2 || len(args) == 3 && args[1] == "--") && value != "" && !strings.ContainsAny(value, " \t\n") {
			return nil
		}
		return c.Usage()
	case "-L", "--listfiles", "-S", "--search", "-W", "--show", "-s", "--status", "-l", "--list":
		return i.query(ctx, c)
	}
	return c.Usage()
}

// kernel is uname(1) for the C library, which asks whether the kernel is too old
// for it. That of an image is whose who runs it: the library asks again then.
func kernel(_ context.Context, c *script.Call) error {
	if len(c.Args) != 2 || c.Args[1] != "-s" && c.Args[1] != "-r" {
		return c.Usage()
	}
	fmt.Fprintln(c.Out, map[string]string{"-s": "Linux", "-r": "6.1"}[c.Args[1]])
	return nil
}

// realpath prints where a path leads, whether something is there or not.
func (i *installer) realpath(_ context.Context, c *script.Call) error {
	if len(c.Args) != 2 || !strings.HasPrefix(c.Args[1], "/") {
		return c.Usage()
	}
	rest := ""
	for p := path.Clean(c.Args[1]); ; p = path.Dir(p) {
		if real, err := i.tree.Resolve(p); err == nil {
			fmt.Fprintln(c.Out, path.Join("/", real, rest))
			return nil
		}
		rest = path.Join(path.Base(p), rest)
	}
}

// compareVersions is --compare-versions, for which an empty version is earlier
// than any, or with -nl later.
func compareVersions(a, op, b string) bool {
	if a == "" || b == "" {
		later := strings.HasSuffix(op, "-nl")
		switch {
		case a == b:
			return slices.Contains([]string{"le", "eq", "ge", "=", "<=", ">=", "<", ">", "le-nl", "ge-nl"}, op)
		case (a == "") != later: // a counts as the earlier one
			return slices.Contains([]string{"lt", "le", "ne", "<<", "<=", "<", "lt-nl", "le-nl"}, op)
		default:
			return slices.Contains([]string{"gt", "ge", "ne", ">>", ">=", ">", "gt-nl", "ge-nl"}, op)
		}
	}
	return satisfies(a, op, b)
}

// satisfies reports whether version a stands to b as op says, in any of dpkg's
// spellings.
func satisfies(a, op, b string) bool {
	c := version.Compare(a, b)
	switch strings.TrimSuffix(op, "-nl") {
	case "=", "eq":
		return c == 0
	case "<<", "lt":
		return c < 0
	case "<=", "le", "<":
		return c <= 0
	case ">=", "ge", ">":
		return c >= 0
	case ">>", "gt":
		return c > 0
	case "ne":
		return c != 0
	default:
		return false
	}
}

// query is dpkg-query(1).
func (i *installer) query(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("LSWslf:", "listfiles:L", "list:l", "search:S", "show:W", "status:s", "showformat=:f", "admindir=")
	if err != nil {
		return err
	}
	format, formatted := set["f"]
	delete(set, "f")
	if len(set) != 1 || len(rest) == 0 {
		return c.Usage()
	}
	for op := range set {
		switch op {
		case "L":
			return i.listFiles(c, rest)
		case "S":
			return i.search(c, rest)
		case "l":
			return i.listUnknown(c, rest)
		case "s":
			return i.each(c, rest, func(e *entry) (string, error) { return e.fields.String() + "\n", nil })
		case "W":
			if !formatted {
				format = "${binary:Package}\t${Version}\n"
			}
			return i.each(c, rest, func(e *entry) (string, error) { return i.format(e, format) })
		}
	}
	return c.Usage()
}

// listUnknown is dpkg-query -l for packages of which nothing was ever heard:
// the tables that it prints for others are for people.
func (i *installer) listUnknown(c *script.Call, names []string) error {
	for _, n := range names {
		heard := func(e *entry) bool { return strings.Contains(e.fields.String(), n) }
		if strings.ContainsAny(n, "*?[") || slices.ContainsFunc(i.packages, heard) {
			return c.Usage()
		}
	}
	fmt.Fprintf(c.Err, "no packages found matching %s\n", strings.Join(names, " "))
	return script.Exit(1)
}

func (i *installer) each(c *script.Call, names []string, f func(*entry) (string, error)) error {
	status := error(nil)
	for _, n := range names {
		if strings.ContainsAny(n, "*?[") {
			return c.Usage()
		}
		e := i.find(n)
		if e == nil {
			fmt.Fprintf(c.Err, "no packages found matching %s\n", n)
			status = script.Exit(1)
			continue
		}
		out, err := f(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "%s", out)
	}
	return status
}

// format fills a format of dpkg-query in.
func (i *installer) format(e *entry, format string) (string, error) {
	format = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(format)
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(format, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", &script.UnsupportedError{Needs: "dpkg-query -f " + format}
		}
		value, err := e.variable(name)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		format = after
	}
}

func (e *entry) variable(name string) (string, error) {
	status := strings.Fields(e.fields.get("Status"))
	for len(status) < 3 {
		status = append(status, "")
	}
	switch name {
	case "binary:Package":
		return e.stem(), nil
	case "Package", "Version", "Architecture", "Status", "Essential", "Multi-Arch", "Depends", "Source", "Conffiles":
		return e.fields.get(name), nil
	case "db:Status-Want":
		return status[0], nil
	case "db:Status-Eflag":
		return status[1], nil
	case "db:Status-Status":
		return status[2], nil
	case "db:Status-Abbrev":
		return status[0][:1] + status[2][:1] + " ", nil
	}
	return "", &script.UnsupportedError{Needs: "dpkg-query with ${" + name + "}"}
}

func (i *installer) listFiles(c *script.Call, names []string) error {
	return i.each(c, names, func(e *entry) (string, error) {
		list, err := i.list(e.stem())
		return strings.Join(list, "\n") + "\n", err
	})
}

// search finds the packages that have a path.
func (i *installer) search(c *script.Call, paths []string) error {
	status := error(nil)
	for _, p := range paths {
		if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "*?[") {
			return c.Usage()
		}
		owners, err := i.owner(p)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(i.diversions, func(d diversion) bool { return d.from == p || d.to == p }) {
			return c.Usage()
		}
		if len(owners) == 0 {
			fmt.Fprintf(c.Err, "no path found matching pattern %s\n", p)
			status = script.Exit(1)
			continue
		}
		fmt.Fprintf(c.Out, "%s: %s\n", strings.Join(owners, ", "), p)
	}
	return status
}

// trigger sets off a trigger.
func (i *installer) trigger(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("", "no-await", "await", "check-supported", "by-package=")
	if err != nil {
		return err
	}
	if _, check := set["check-supported"]; check {
		return nil
	}
	if len(rest) != 1 {
		return c.Usage()
	}
	i.pending.activate(rest[0])
	return nil
}

// cleanPython is py3clean(1) for a package: what was compiled of its modules goes,
// in the whole image or below directories.
func (i *installer) cleanPython(_ context.Context, c *script.Call) error {
	set, dirs, err := c.Flags("p:vq", "package=:p", "verbose:v", "quiet:q")
	if err != nil {
		return err
	}
	e := i.find(set["p"])
	if e == nil {
		return c.Usage()
	}
	files, err := i.list(e.stem())
	if err != nil {
		return err
	}
	for _, f := range files {
		below := func(dir string) bool { return strings.HasPrefix(f, path.Clean(dir)+"/") }
		if module, ok := strings.CutSuffix(f, ".py"); ok && (len(dirs) == 0 || slices.ContainsFunc(dirs, below)) {
			if err := i.cleanModule(module); err != nil {
				return err
			}
		}
	}
	return nil
}

// cleanModule removes what was compiled of one module.
func (i *installer) cleanModule(module string) error {
	dir, prefix := path.Join(path.Dir(module), "__pycache__"), path.Base(module)+"."
	names, err := i.tree.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // nothing was compiled there
	}
	left := len(names)
	for _, n := range names {
		if strings.HasPrefix(n, prefix) && strings.HasSuffix(n, ".pyc") {
			if err := i.tree.Remove(path.Join(dir, n)); err != nil {
				return err
			}
			left--
		}
	}
	if left == 0 {
		return i.tree.Remove(dir)
	}
	return nil
}

// sortedKeys returns the keys of m, sorted.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// numberOf returns the number of a name in a table of accounts.
func numberOf(table, name string) (int, bool) {
	for line := range strings.Lines(table) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[0] == name {
			n, err := strconv.Atoi(strings.TrimSpace(f[2]))
			return n, err == nil
		}
	}
	return 0, false
}
