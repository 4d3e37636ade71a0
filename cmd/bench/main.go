// SPDX-License-Identifier: Apache-2.0

// Command bench builds the same images with inlay and with the programs it
// wants to replace, from the same requirements, parent, package index and
// registry, in one run on one machine, and prints what each build took as a
// Markdown table. Index and registry are on loopback, so that it measures the
// builders and not the network. It does the same for Debian packages, with
// apt-get and mmdebstrap.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

const about = `usage: bench [flags]

Builds the same images with inlay, buildah and BuildKit and prints a Markdown
table: wall time, CPU seconds, memory and bytes pushed of each build. With
Debian packages (-workloads apt,bootstrap) the peers are apt-get in a chroot
and mmdebstrap. Peers that this machine doesn't have are left out, and it says
why. Linux, as root.

`

type options struct {
	inlay, parent, dir, uv string
	workloads, tools       string
	runs                   int
	out                    string
}

func main() {
	if name := os.Getenv(recompressEnv); name != "" {
		if err := recompress(name, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		os.Exit(1) //nolint:gocritic // the process ends, and with it the signals
	}
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() { _, _ = fmt.Fprint(f.Output(), about); f.PrintDefaults() }
	f.StringVar(&o.inlay, "inlay", "bin/inlay", "the `program` to measure")
	f.StringVar(&o.parent, "parent", "bin/e2e/debian", "the parent image: an OCI `layout` of Debian with Python")
	f.StringVar(&o.uv, "uv", "", "the `uv` that every builder uses (default: the one on PATH)")
	f.StringVar(&o.dir, "dir", "bin/bench", "keep wheels and work in `DIR`")
	f.StringVar(&o.workloads, "workloads", "web,data,torch", "which of "+strings.Join(names(), ", ")+", and of Debian packages: apt, bootstrap")
	f.StringVar(&o.tools, "tools", "inlay,buildah,buildkit,crane", "which builders")
	f.IntVar(&o.runs, "runs", 3, "build everything `N` times and print medians; what takes minutes is built once")
	f.StringVar(&o.out, "o", "", "write the table to `FILE` (default: standard output)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.runs < 1 {
		return o, errors.New("bench takes flags only, and -runs from 1; -help lists them")
	}
	for _, p := range []*string{&o.inlay, &o.parent, &o.dir} {
		if *p, err = filepath.Abs(*p); err != nil {
			return o, err
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	b, err := begin(o)
	if err != nil {
		return err
	}
	defer b.close()
	var report strings.Builder
	b.describe(&report)
	failed := b.measureAll(ctx, &report) // what was measured before it is worth having
	for _, n := range b.notes {
		fmt.Fprintf(&report, "\nNote: %s.\n", n)
	}
	if o.out == "" {
		_, err = io.WriteString(os.Stdout, report.String())
	} else {
		err = os.WriteFile(o.out, []byte(report.String()), 0o644) //nolint:gosec // a report for everybody
	}
	return errors.Join(failed, err)
}

// measureAll goes through the workloads, and prepares what each kind shares
// before the first of its kind.
func (b *bench) measureAll(ctx context.Context, report io.Writer) (err error) {
	var debs *packages
	for name := range strings.SplitSeq(b.workloads, ",") {
		i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
		compare := packaged[name]
		switch {
		case i >= 0 && b.index == nil:
			err = b.prepare(ctx)
		case i < 0 && compare == nil:
			return fmt.Errorf("no workload %q: there are %s, apt, bootstrap", name, strings.Join(names(), ", "))
		case compare != nil && debs == nil:
			debs, err = b.newPackages(ctx, report)
		}
		if err == nil && compare != nil {
			err = compare(b, ctx, debs)
		} else if err == nil {
			err = b.compare(ctx, workloads[i], report)
		}
		if err != nil {
			return fmt.Errorf("measuring the workload %s: %w", name, err)
		}
	}
	return nil
}
