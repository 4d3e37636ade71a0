// SPDX-License-Identifier: Apache-2.0

// Package arguments reads the arguments that settings give to uv or pip. One
// table says of every name what becomes of it: it does what the installer's
// documentation says, or is reported as what happens anyway, or is refused by
// name. None is dropped in silence.
package arguments

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

// A Given is an argument as the settings have it.
type Given struct {
	Name   string // without dashes: "no-deps"
	Values []string
	Null   bool // there is no value: a bare flag
}

// off reports whether the argument is as if it weren't there: so a flag takes
// back what a file says.
func (g Given) off() bool { return len(g.Values) == 1 && strings.EqualFold(g.Values[0], "false") }

// A Set is what arguments come to.
type Set struct {
	Flags       []string // for the call that decides: "--pre"
	Both        []string // for that one, and for the one that looks files up
	Env         []string // for all calls, NAME=VALUE
	Constraints []string // paths of files
	Overrides   []string // paths of files
	Build       []string // for what builds sources, in uv's words
	// BuildConstraints are paths of files.
	BuildConstraints []string
	Indexes          []Index
	Links            []string // directories or URLs that have wheels
	NoIndex          bool     // no index is asked
	Torch            string   // which build of torch: "cpu", "cu128"; "none" for the index's own; "" if not given
	Notes            []string // about arguments that change nothing, for people
}

// An Index is a package index that an argument names.
type Index struct {
	Argument string // that names it
	URL      string // perhaps NAME=URL, perhaps with user and password
	Default  bool   // in place of the installer's own
}

// Error reports an argument that can't be honoured.
type Error struct {
	Name    string // as the settings have it
	Problem string
	Fix     string // what to do instead
}

func (e *Error) Error() string { return fmt.Sprintf("--%s: %s", e.Name, e.Problem) }

// Hint says what to do instead.
func (e *Error) Hint() string { return e.Fix }

// Read reads arguments of the installer, "uv" or "pip". A mistake is an *Error.
// An argument that is false, of whichever installer, is as if it weren't there.
func Read(installer string, given []Given) (*Set, error) {
	s := &Set{}
	for _, g := range given {
		a, ok := find(installer, g.Name)
		if g.off() && (ok || known(g.Name)) {
			continue
		}
		if !ok {
			return nil, unknown(installer, g)
		}
		if a.does == refused {
			return nil, &Error{Name: g.Name, Problem: "not supported: " + a.why, Fix: a.fix(g.Name)}
		}
		if a.does == anyway {
			s.Notes = append(s.Notes, fmt.Sprintf("`%s` has no effect: %s", g.Name, a.why))
			continue
		}
		values, err := a.values(g)
		if err != nil {
			return nil, err
		}
		a.apply(s, values)
	}
	return s, nil
}

// find returns what the installer does with a name.
func find(installer, name string) (argument, bool) {
	for _, a := range table() {
		if (a.of == installer || a.of == both) && slices.Contains(a.names, name) {
			return a, true
		}
	}
	return argument{}, false
}

// known reports whether an installer has the name.
func known(name string) bool {
	return slices.ContainsFunc(table(), func(a argument) bool { return slices.Contains(a.names, name) })
}

// unknown reports a name that the installer has not, with the nearest that it
// has. A name of the other installer is told from one that nobody has.
func unknown(installer string, g Given) error {
	e := &Error{Name: g.Name, Problem: fmt.Sprintf("%s has no such argument, or none that is known here", installer)}
	near := nearest(installer, g.Name)
	e.Fix = fmt.Sprintf("remove `%s`", g.Name)
	if near != "" {
		e.Fix = fmt.Sprintf("did you mean `%s`?", near)
	}
	other := map[string]string{"uv": "pip", "pip": "uv"}[installer]
	if a, ok := find(other, g.Name); ok {
		e.Problem = fmt.Sprintf("it is an argument of %s, and the installer is %s", other, installer)
		e.Fix = fmt.Sprintf("remove `%s`, or write `python_package_installer: %s`", g.Name, other)
		if a.counterpart != "" {
			e.Fix = fmt.Sprintf("write `%s`, as %s has it", a.counterpart, installer)
		}
	}
	return e
}

// nearest returns the name most like the one given, "" if none is like it.
func nearest(installer, name string) string {
	const like = 0.84 // below it, two names merely share letters
	best, score := "", like
	for _, a := range table() {
		if a.of != installer && a.of != both || a.does == refused {
			continue
		}
		for _, n := range a.names {
			if s := smetrics.JaroWinkler(strings.ToLower(strings.ReplaceAll(name, "_", "-")), n, 0.7, 4); s > score && len(n) > 1 {
				best, score = n, s
			}
		}
	}
	return best
}

// values returns the values that g has.
func (a argument) values(g Given) ([]string, error) {
	fault := func(problem, example string) error {
		return &Error{Name: g.Name, Problem: problem, Fix: "write, for example, `" + g.Name + ": " + example + "`"}
	}
	empty := g.Null || len(g.Values) == 0
	switch a.takes {
	case flag:
		if !empty && (len(g.Values) > 1 || !strings.EqualFold(g.Values[0], "true")) {
			return nil, fault("a flag has no value", "null")
		}
		return nil, nil
	case one:
		if len(g.Values) > 1 {
			return nil, fault(fmt.Sprintf("want one value, got %d", len(g.Values)), a.example)
		}
	}
	if empty && a.null != "" {
		return []string{a.null}, nil
	}
	if empty || slices.Contains(g.Values, "") {
		return nil, fault("a value is missing", a.example)
	}
	for _, v := range g.Values {
		if problem := a.problem(v); problem != "" {
			return nil, fault(problem, a.example)
		}
	}
	return g.Values, nil
}

// problem says why the argument can't have a value.
func (a argument) problem(v string) string {
	switch {
	case len(a.choices) > 0 && !slices.Contains(a.choices, v):
		return fmt.Sprintf("want %s, got %q", strings.Join(a.choices, ", "), v)
	case a.form != nil && !a.form().MatchString(v):
		return fmt.Sprintf("%q is none of its values", v)
	default:
		return ""
	}
}

// apply adds the argument with these values to s.
func (a argument) apply(s *Set, values []string) {
	switch a.does {
	case decides, places, builds:
		dst := map[action]*[]string{decides: &s.Flags, places: &s.Both, builds: &s.Build}[a.does]
		if a.takes == flag {
			*dst = append(*dst, a.as)
		}
		for _, v := range values {
			*dst = append(*dst, a.as+"="+v)
		}
	case environment:
		s.Env = append(s.Env, a.as+"="+strings.Join(values, " "))
	case constrains:
		s.Constraints = append(s.Constraints, values...)
	case buildConstrains:
		s.BuildConstraints = append(s.BuildConstraints, values...)
	case overrides:
		s.Overrides = append(s.Overrides, values...)
	case indexes:
		for _, v := range values {
			s.Indexes = append(s.Indexes, Index{Argument: a.names[0], URL: v, Default: a.as == "default"})
		}
	case finds:
		s.Links = append(s.Links, values...)
	case onlyFinds:
		s.NoIndex = true
	case torch:
		s.Torch = values[len(values)-1]
	case refused, anyway:
	}
}

// fix says what to do in place of a refused argument.
func (a argument) fix(name string) string {
	if a.instead != "" {
		return a.instead
	}
	return fmt.Sprintf("remove `%s`", name)
}
