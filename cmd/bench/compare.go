// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A scenario is a build in the life of a project. Each goes on where the one
// before it ended.
type scenario struct {
	name   string
	cold   bool                                      // nothing is kept of earlier builds
	fresh  bool                                      // only downloads are
	later  bool                                      // the parent's next version
	edit   func(dir string, w workload, n int) error // what the user changed the nth time; nil for nothing
	source bool                                      // the source alone is new
	noted  string                                    // a repository of its own, "" for that of before
	brief  bool                                      // brief workloads go through it too
	times  int                                       // how often in a row: one build of some milliseconds tells little
}

var scenarios = []scenario{
	{name: "cold", cold: true, noted: "cold", brief: true},
	{name: "cold, wheels downloaded", fresh: true, noted: "warm"},
	{name: "no change", brief: true, times: 5},
	{name: "one source file", source: true, brief: true, times: 5, edit: func(dir string, _ workload, n int) error {
		text := fmt.Sprintf("def function_77():\n    return %d\n", 78+n)
		return os.WriteFile(filepath.Join(dir, "app/part3/module77.py"), []byte(text), 0o644) //nolint:gosec // a project's file
	}},
	{name: "one requirement bumped", brief: true, edit: func(dir string, w workload, _ int) error { return writeProject(dir, w.bumped()) }},
	{name: "one requirement added", edit: func(dir string, w workload, _ int) error { return writeProject(dir, w.added()) }},
	{name: "parent changed", later: true},
}

// results holds what each build of a scenario took, by the tool's name.
type results map[string]map[string][]usage

// compare measures a workload with every tool and writes its table.
func (b *bench) compare(ctx context.Context, w workload, report io.Writer) error {
	fmt.Fprintf(os.Stderr, "%s: finding and downloading its wheels\n", w.name)
	for _, reqs := range [][]string{w.bumped(), w.added()} {
		if _, _, err := b.index.add(ctx, b, reqs); err != nil {
			return err
		}
	}
	n, size, err := b.index.add(ctx, b, w.requirements)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.work, w.name)
	all, err := b.builders(ctx, dir)
	if err != nil {
		return err
	}
	r := results{}
	runs := b.runs
	if w.once {
		runs = 1
	}
	for _, t := range all {
		defer t.close()
		r[t.name()] = map[string][]usage{}
	}
	for i := range runs { // in turns: what else the machine does meets all of them
		for _, t := range all {
			if err := b.life(ctx, t, w, i, r[t.name()]); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(report, "\n### %s: %d wheels, %d MB\n\n%s.\n\n", w.about, n, size/1e6, often(runs))
	r.write(report, all)
	if w.brief {
		return nil
	}
	return b.compression(ctx, w, report)
}

// life goes through the scenarios once.
func (b *bench) life(ctx context.Context, t tool, w workload, run int, r map[string][]usage) error {
	project := filepath.Join(b.work, "project")
	if err := recreate(project); err != nil {
		return err
	}
	if err := writeProject(project, w.requirements); err != nil {
		return err
	}
	repository := b.registry + "/" + w.name + "/" + slug(t.name())
	for _, s := range scenarios {
		if !t.does(s) || w.brief && !s.brief {
			continue
		}
		if s.noted != "" {
			repository = fmt.Sprintf("%s/%s/%s-%s-%d", b.registry, w.name, slug(t.name()), s.noted, run)
		}
		for n := range max(s.times, 1) {
			u, err := b.scene(ctx, t, w, s, job{dir: project, parent: b.parentRef("now"), target: repository + ":latest", fresh: s.fresh}, n)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", t.name(), s.name, err)
			}
			r[s.name] = append(r[s.name], u)
			fmt.Fprintf(os.Stderr, "%s, %s, %s: %.2f s, %.3f CPU s, %d MB, pushed %.1f MB\n",
				w.name, t.name(), s.name, u.wall.Seconds(), u.cpu.Seconds(), u.peak/1e6, float64(u.pushed)/1e6)
		}
	}
	return nil
}

// scene makes what a scenario is about happen, for the nth time, and builds.
func (b *bench) scene(ctx context.Context, t tool, w workload, s scenario, j job, n int) (usage, error) {
	if s.later {
		j.parent = b.parentRef("later")
	}
	if s.cold {
		if err := t.forget(ctx); err != nil {
			return usage{}, err
		}
	}
	if s.edit != nil {
		if err := s.edit(j.dir, w, n); err != nil {
			return usage{}, err
		}
	}
	before := b.pushed.Load()
	u, err := t.build(ctx, j)
	u.pushed = b.pushed.Load() - before
	return u, err
}

func slug(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "-") }

// median returns the median of each figure by itself.
func median(all []usage) usage {
	return usage{
		wall: middle(all, func(u usage) time.Duration { return u.wall }), cpu: middle(all, func(u usage) time.Duration { return u.cpu }),
		peak: middle(all, func(u usage) int64 { return u.peak }), pushed: middle(all, func(u usage) int64 { return u.pushed }),
	}
}

func middle[T cmp.Ordered](all []usage, figure func(usage) T) T {
	values := make([]T, len(all))
	for i, u := range all {
		values[i] = figure(u)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// write prints the table. Ratios are to the first tool: inlay.
func (r results) write(w io.Writer, tools []tool) {
	_, _ = fmt.Fprint(w, "| build | with | wall s | CPU s | CPU, as a multiple | peak MB | pushed MB |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, s := range scenarios {
		if len(r[tools[0].name()][s.name]) == 0 {
			continue
		}
		base := median(r[tools[0].name()][s.name])
		for i, t := range tools {
			if len(r[t.name()][s.name]) == 0 {
				continue // it doesn't do this
			}
			u := median(r[t.name()][s.name])
			title := s.name
			if i > 0 {
				title = ""
			}
			fmt.Fprintf(w, "| %s | %s | %.2f | %.3f | %.1f | %d | %.1f |\n", title, t.name(), u.wall.Seconds(), u.cpu.Seconds(),
				u.cpu.Seconds()/max(base.cpu.Seconds(), 0.001), u.peak/1e6, float64(u.pushed)/1e6)
		}
	}
}

// describe says what was measured and where.
func (b *bench) describe(w io.Writer) {
	fmt.Fprintf(w, "%d processors, %s/%s. Index, registry and Debian archive on loopback.\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}

// often says how often everything was built.
func often(runs int) string {
	if runs == 1 {
		return "One run, with medians of five builds where nothing or one file changed"
	}
	return fmt.Sprintf("Medians of %d runs, and of five builds in each where nothing or one file changed", runs)
}
