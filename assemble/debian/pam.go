// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"inlay/assemble/script"
	"inlay/layers/pattern"
)

const (
	pamProfiles  = "/usr/share/pam-configs"
	pamTemplates = "/usr/share/pam"
	pamDir       = "/etc/pam.d"
	pamSaved     = "/var/lib/pam"
)

// pamTypes are the kinds of stacks, each a file "common-" of the configuration.
var pamTypes = []string{"auth", "account", "password", "session", "session-noninteractive"}

// The lines between which the program writes.
const (
	pamPrimary    = `# here are the per-package modules (the "Primary" block)`
	pamFallback   = "# here's the fallback if no module succeeds"
	pamAdditional = `# and here are more per-package modules (the "Additional" block)`
	pamEnd        = "# end of pam-auth-update config"
)

// pamAuthUpdate is pam-auth-update(8) as packages call it: it puts PAM's common
// files together from the profiles that packages have. Files that somebody
// changed are not known here.
func pamAuthUpdate(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("", "package", "force", "root=")
	if err != nil {
		return err
	}
	_, asPackage := set["package"]
	_, force := set["force"]
	if !asPackage || len(rest) > 0 || set["root"] != "" {
		return c.Usage()
	}
	p := pam{c: c}
	if err := p.update(force); err != nil {
		return c.Fail(err)
	}
	return nil
}

// A pam is one run of the program.
type pam struct {
	c        *script.Call
	profiles map[string]pamProfile
	sorted   []string // the names of profiles, the first to be tried first
}

// A pamProfile is what a package says of its modules, by the names of fields.
type pamProfile map[string]string

func (p *pam) update(force bool) error {
	if err := p.read(); err != nil {
		return err
	}
	enabled, err := p.inUse(force)
	if err != nil {
		return err
	}
	if enabled, err = p.choose(enabled); err != nil {
		return err
	}
	if err := p.c.Tree.MkdirAll(pamSaved, 0o755); err != nil {
		return err
	}
	if err := p.write(path.Join(pamSaved, "seen"), p.sorted...); err != nil {
		return err
	}
	for _, kind := range pamTypes {
		if err := p.stack(kind, enabled); err != nil {
			return err
		}
	}
	return nil
}

func (p *pam) write(name string, lines ...string) error {
	return p.c.Tree.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// read reads all profiles.
func (p *pam) read() error {
	names, err := p.c.Tree.ReadDir(pamProfiles)
	if err != nil {
		return err
	}
	p.profiles = map[string]pamProfile{}
	for _, n := range names {
		b, err := p.c.Tree.ReadFile(path.Join(pamProfiles, n))
		if err != nil {
			return err
		}
		if strings.HasSuffix(n, "~") || strings.Contains(string(b), "pam_tally") {
			continue
		}
		p.profiles[n] = parsePAMProfile(string(b))
		p.sorted = append(p.sorted, n)
	}
	p.sort(p.sorted)
	return nil
}

// sort orders names: higher priorities first, then later names.
func (p *pam) sort(names []string) {
	priority := func(n string) int {
		v, _ := strconv.Atoi(strings.TrimSpace(p.profiles[n]["Priority"])) // none counts as 0
		return v
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := priority(b) - priority(a); d != 0 {
			return d
		}
		return strings.Compare(b, a)
	})
}

var rePAMField = pattern.New(`^(\S+):\s+(.*)\n$`)

func parsePAMProfile(text string) pamProfile {
	p, field := pamProfile{}, ""
	for line := range strings.Lines(strings.TrimSuffix(text, "\n") + "\n") {
		if m := rePAMField().FindStringSubmatch(line); m != nil {
			field = strings.TrimSuffix(m[1], "-Final")
			p[field] = m[2]
			continue
		}
		if name, found := strings.CutSuffix(line, ":\n"); found && !strings.ContainsAny(name, " \t") {
			field = strings.TrimSuffix(name, "-Final")
			p[field] = ""
			continue
		}
		if line = strings.TrimSpace(line); line != "" {
			p[field] = strings.TrimLeft(p[field]+"\n"+line, " \t\n")
		}
	}
	if _, only := p["Session-Interactive-Only"]; !only {
		for _, suffix := range []string{"-Type", "", "-Initial"} {
			if v, ok := p["Session"+suffix]; ok {
				p["Session-noninteractive"+suffix] = v
			}
		}
	}
	return p
}

// inUse returns the profiles that the present files are made of: none, if there
// are no files yet.
func (p *pam) inUse(force bool) (names []string, err error) {
	there := 0
	for _, kind := range pamTypes {
		now, err := p.c.Tree.ReadFile(path.Join(pamDir, "common-"+kind))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		there++
		used, err := p.unchanged(kind, string(now))
		if err != nil {
			return nil, err
		}
		names = append(names, used...)
	}
	if there != 0 && there != len(pamTypes) || there == 0 && !force {
		return nil, &script.UnsupportedError{Needs: "pam-auth-update to decide about files that are missing"}
	}
	return slices.DeleteFunc(names, func(n string) bool { return p.profiles[n] == nil }), nil
}

var rePAMJump = pattern.New(`(\[[^\]]*=)(?:[0-9]+|end)([^\]]*\])`)

// unchanged returns the profiles that a file is made of, if it is as the program
// left it.
func (p *pam) unchanged(kind, now string) (names []string, err error) {
	changed := &script.UnsupportedError{Needs: "pam-auth-update to keep changes of common-" + kind}
	saved, err := text(p.c.Tree, path.Join(pamSaved, kind))
	if err != nil {
		return nil, err
	}
	plain := func(line string) string {
		return strings.Join(strings.Fields(rePAMJump().ReplaceAllString(line, "$1$2")), " ")
	}
	var want, got []string
	for line := range strings.Lines(saved) {
		if name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "Module: "); ok {
			names = append(names, name)
		} else {
			want = append(want, plain(line))
		}
	}
	frame, blocks, ok := pamFrame(now)
	template, err := p.template(kind)
	if err != nil {
		return nil, err
	}
	ours, _, _ := pamFrame(template)
	for _, line := range blocks {
		got = append(got, plain(strings.TrimPrefix(line, pamStack(kind))))
	}
	if !ok || !slices.Equal(want, got) || !slices.Equal(frame, ours) {
		return nil, changed
	}
	return names, nil
}

// pamStack is what lines of a kind begin with.
func pamStack(kind string) string { return strings.TrimSuffix(kind, "-noninteractive") }

func (p *pam) template(kind string) (string, error) {
	b, err := p.c.Tree.ReadFile(path.Join(pamTemplates, "common-"+kind))
	return string(b), err
}

// pamFrame splits a file into the lines that stay and those in the two blocks.
func pamFrame(file string) (frame, blocks []string, ok bool) {
	ends := []string{pamPrimary, pamFallback, pamAdditional, pamEnd}
	for line := range strings.Lines(file) {
		line = strings.TrimSuffix(line, "\n")
		passed := 4 - len(ends)
		switch {
		case len(ends) > 0 && strings.HasPrefix(line, ends[0]):
			ends = ends[1:]
			frame = append(frame, line)
		case passed == 1 || passed == 3:
			blocks = append(blocks, line)
		default:
			frame = append(frame, line)
		}
	}
	return frame, blocks, len(ends) == 0
}

// choose adds the profiles that are new, to be used by default.
func (p *pam) choose(enabled []string) ([]string, error) {
	seen, err := text(p.c.Tree, path.Join(pamSaved, "seen"))
	if err != nil {
		return nil, err
	}
	known := strings.Split(seen, "\n")
	if len(enabled) == 0 {
		known = nil
	}
	for _, n := range p.sorted {
		if p.profiles[n]["Default"] == "yes" && !slices.Contains(known, n) {
			enabled = append(enabled, n)
		}
	}
	p.sort(enabled)
	enabled = slices.Compact(enabled)
	for _, n := range enabled {
		for other := range strings.SplitSeq(p.profiles[n]["Conflicts"], ", ") {
			if slices.Contains(enabled, other) {
				return nil, &script.UnsupportedError{Needs: "pam-auth-update to choose between " + n + " and " + other}
			}
		}
	}
	if len(enabled) == 0 {
		return nil, &script.UnsupportedError{Needs: "pam-auth-update to choose a profile"}
	}
	return enabled, nil
}

// stack writes the file of one kind, and what it is made of.
func (p *pam) stack(kind string, enabled []string) error {
	template, err := p.template(kind)
	if err != nil {
		return err
	}
	frame, _, ok := pamFrame(template)
	if !ok {
		return &script.UnsupportedError{Needs: "a template of common-" + kind + " with the marks of pam-auth-update"}
	}
	var file, saved []string
	for _, line := range frame {
		file = append(file, line)
		switch {
		case strings.HasPrefix(line, pamPrimary):
			lines, from := p.block(kind, "Primary", enabled)
			file, saved = append(file, lines...), append(saved, from...)
		case strings.HasPrefix(line, pamAdditional):
			lines, from := p.block(kind, "Additional", enabled)
			file, saved = append(file, lines...), append(saved, from...)
		}
	}
	if err := p.write(path.Join(pamSaved, kind), saved...); err != nil {
		return err
	}
	return p.write(path.Join(pamDir, "common-"+kind), file...)
}

var rePAMModule = pattern.New(`^((?:\[[^\]]+\]|\w+)\s+\S+)\s*(.*)`)

// block returns the lines of one block, and what is kept of it. A jump to the
// end goes over all lines that follow.
func (p *pam) block(kind, which string, enabled []string) (lines, saved []string) {
	field := strings.ToUpper(kind[:1]) + kind[1:]
	var modules []string
	for _, n := range enabled {
		if p.profiles[n][field+"-Type"] != which {
			continue
		}
		own := p.profiles[n][field]
		if first := p.profiles[n][field+"-Initial"]; len(saved) == 0 && first != "" {
			own = first
		}
		saved = append(saved, "Module: "+n, own)
		modules = append(modules, strings.Split(own, "\n")...)
	}
	if len(modules) == 0 && which == "Primary" {
		const none = "[default=1]\t\t\tpam_permit.so"
		return []string{pamStack(kind) + "\t" + none}, []string{"Module: null", none}
	}
	for i, m := range modules {
		jump := len(modules) - i
		if which == "Additional" {
			jump--
		}
		if parts := rePAMModule().FindStringSubmatch(m); parts != nil {
			options := strings.Join(strings.Fields(parts[2]), " ")
			lines = append(lines, pamStack(kind)+"\t"+strings.ReplaceAll(parts[1], "end", strconv.Itoa(jump))+" "+options)
		}
	}
	return lines, saved
}
