// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inlay/resolve/index"
)

// An Isolation opens cells.
type Isolation interface {
	// Works reports whether installers can be isolated on this machine. Where they
	// can't they run as they are: what they are shown for a Python runs nothing of
	// a package all the same.
	Works(ctx context.Context) (bool, error)
	// Enter opens a cell, which is to be closed.
	Enter(ctx context.Context, n Needs) (Cell, error)
}

// Needs are what an installer needs of this machine beside its programs and
// libraries. Paths are absolute, and the same inside; all else isn't there.
type Needs struct {
	Read  []string   // files and directories: its own program, and what requirements name
	Write []string   // directories
	Env   []string   // NAME=VALUE
	Index *index.Set // with the installer's own
	URLs  []string   // of files that requirements name
	Pages []string   // URLs of pages that list files
	Torch string     // the index that uv takes builds of torch from, "" if it doesn't
	// Offline reaches nothing of that.
	Offline bool
}

// A Cell is where an installer runs. It prints URLs as they are outside.
type Cell interface {
	Runner
	// Env is the environment of what runs in it.
	Env() []string
	// Inside returns the URL of a file that Needs name as it is inside.
	Inside(url string) string
	// Outside returns text from inside with its URLs as they are outside.
	Outside(text string) string
	// Listed returns what the one index that there is said of wheels of these names,
	// as it is outside. It may lack some, and has only those of which the installer
	// was told just that or will be when it asks again.
	Listed(files []string) map[string]Listed
	// Refused says what was asked for of the network, and not had; nil if nothing
	// was.
	Refused() error
	Close()
}

// A Listed is what an index says of a file.
type Listed struct {
	URL    string
	SHA256 string // in hex
	Size   int64  // 0 if the index doesn't say it
}

// A bareCell isolates nothing: what runs in it runs on this machine as it is.
type bareCell struct {
	Runner
	env []string
}

func (c bareCell) Env() []string            { return c.env }
func (bareCell) Inside(url string) string   { return url }
func (bareCell) Outside(text string) string { return text }
func (bareCell) Refused() error             { return nil }
func (bareCell) Listed([]string) map[string]Listed {
	return nil
}
func (bareCell) Close() {}

// cells open the cells of a session, one after the other.
type cells struct {
	Cell      // of now; nil before the first
	runner    Runner
	isolation Isolation // nil: there is none here
	needs     Needs     // of every cell
	// own adds the installer's own index to a set.
	own func(context.Context, *index.Set) (*index.Set, error)
}

// cells returns what opens the cells of a session of an installer.
func (r *Resolver) cells(ctx context.Context, offline bool) (*cells, error) {
	c := &cells{runner: r.Runner, needs: Needs{Offline: offline}}
	if r.Isolation == nil {
		return c, nil
	}
	works, err := r.Isolation.Works(ctx)
	if works {
		c.isolation = r.Isolation
	}
	return c, err
}

// enter opens the next cell: for the indexes of set, which bare says in variables
// where nothing is isolated, and what g names. cache is a directory.
func (c *cells) enter(ctx context.Context, set *index.Set, g Group, l links, cache string, env, bare []string) (err error) {
	c.leave()
	if c.isolation == nil {
		c.Cell = bareCell{c.runner, slices.Concat(env, bare)}
		return nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	n := c.needs
	n.Env, n.Write = env, append(slices.Clone(n.Write), cache)
	n.Read, n.Pages, n.Index = slices.Concat(n.Read, l.dirs), l.pages, set
	for _, line := range slices.Concat(g.Lines, g.Constraints) {
		if line.Sources { // is built first
			continue
		}
		if p := line.Path(); p != "" {
			n.Read = append(n.Read, p)
		} else if line.URL != "" {
			n.URLs = append(n.URLs, line.URL)
		}
	}
	if !l.only {
		if n.Index, err = c.own(ctx, set); err != nil {
			return err
		}
	}
	c.Cell, err = c.isolation.Enter(ctx, n)
	return err
}

// leave closes the cell.
func (c *cells) leave() {
	if c.Cell != nil {
		c.Close()
	}
	c.Cell = nil
}

// inside returns lines as an installer in the cell reads them.
func (c *cells) inside(lines []Line) []string {
	texts := texts(lines)
	for i, l := range lines {
		if l.URL != "" && l.Path() == "" {
			texts[i] = strings.Replace(l.Text, l.URL, c.Inside(l.URL), 1)
		}
	}
	return texts
}

// tell shows packages that are installed from the URLs of lines as installed
// from what these are inside.
func (c *cells) tell(s *skeleton, set *index.Set, lines []Line) error {
	for _, l := range lines {
		if l.URL == "" || l.Path() != "" || c.Inside(l.URL) == l.URL {
			continue
		}
		in, _, _ := strings.Cut(c.Inside(l.URL), "#")
		names, err := filepath.Glob(filepath.Join(s.root, filepath.FromSlash(s.purelib), "*", "direct_url.json"))
		if err != nil {
			return err
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			told := strings.ReplaceAll(string(b), `"`+set.Public(l.URL)+`"`, `"`+in+`"`)
			if err := os.WriteFile(name, []byte(told), 0o644); err != nil { //nolint:forbidigo // uv and pip have not started
				return err
			}
		}
	}
	return nil
}

// A RefusedError reports a failure of an installer that had asked for what it
// may not reach.
type RefusedError struct {
	Err     error
	Refused error
}

func (e *RefusedError) Error() string { return e.Err.Error() + "\n" + e.Refused.Error() }

// Unwrap returns both; the hint is about what was refused.
func (e *RefusedError) Unwrap() []error { return []error{e.Refused, e.Err} }

// refused returns err, a failure, with what was refused before, if that is all
// that its cause can be.
func (c *cells) refused(err error) error {
	if refused := c.Refused(); refused != nil {
		return &RefusedError{Err: err, Refused: refused}
	}
	return err
}
