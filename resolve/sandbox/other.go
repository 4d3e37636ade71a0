// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package sandbox

import (
	"context"
	"net"
	"syscall"
)

// Only Linux has what a sandbox is made of: here no rung works, and so nothing
// can be called but what says so.

type (
	ids  struct{ one bool }
	link struct{}
)

func initialize(map[string]Task) {}

func probe(context.Context, string) []Rung {
	var all []Rung
	for _, name := range Rungs() {
		all = append(all, Rung{Name: name, Why: "it needs Linux", Fix: "run inlay on Linux, in a virtual machine for one"})
	}
	return all
}

func tryChroot(context.Context, string) Rung {
	return Rung{Name: RungChroot, Why: "it needs Linux", Fix: "run inlay on Linux, in a virtual machine for one"}
}

func choose(ctx context.Context, dir, name string) (*Rung, error) {
	if name == RungChroot {
		return nil, &NoRungError{Asked: name, Tried: []Rung{tryChroot(ctx, dir)}}
	}
	return nil, &NoRungError{Asked: name, Tried: probe(ctx, dir)}
}

func (r *Rung) recall() error { return r.none() }

func circumstances(string) string { return "" }

func (r *Rung) none() error { return &NoRungError{Tried: probe(nil, "")} }

func (r *Rung) run(context.Context, Command) (Result, error) { return Result{}, r.none() }

func (r *Rung) lower(root Root) []string { return root.Lower }

func (r *Rung) diff(context.Context, Root, int64, Writer) error { return r.none() }

func (r *Rung) do(context.Context, string, string, TaskContext) error { return r.none() }

func (r *Rung) remove(context.Context, []string) error { return r.none() }

func (*link) signal(syscall.Signal) error { return &NoRungError{} }

func (*link) dial(context.Context, string) (net.Conn, error) { return nil, &NoRungError{} }

func totalMemory() int64 { return 0 }
