// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out what works on a machine by trying it, and says what
// to do about what doesn't. It changes nothing: what a check writes it removes
// again. No finding holds a secret.
package doctor

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// What a finding means.
const (
	OK      = "ok"      // it works
	Note    = "note"    // something is missing or odd that a plain build does without
	Problem = "problem" // a plain build needs it
)

// A Finding is what a check found.
type Finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // "ok", "note" or "problem"
	Found  string `json:"found"`
	Fix    string `json:"fix,omitempty"` // what to do about it; always there for a problem
}

// A Check tries one thing. It may find several; their Check is set for it.
type Check struct {
	Name string
	Run  func(context.Context) []Finding
}

// A Machine is what the checks see of this one.
type Machine struct {
	LookPath func(name string) (string, error) // as exec.LookPath does
	// Output runs a program and returns what it prints to its standard output,
	// without the space around it. Where it fails, the error ends in the last
	// line it said.
	Output func(ctx context.Context, program string, args ...string) (string, error)
	Getenv func(name string) string
	Now    func() time.Time
	Home   string // of the user
	Temp   string // directory for temporary files
	Root   string // "/", of the files that the kernel shows
}

// patience is how long one check may take: a program that hangs is a finding.
const patience = 60 * time.Second

// Examine runs the checks, some at a time, and returns what they found in the
// order of the checks.
func Examine(ctx context.Context, checks []Check) ([]Finding, error) {
	found := make([][]Finding, len(checks))
	var g errgroup.Group
	g.SetLimit(8) // they wait more than they work
	for i, c := range checks {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			found[i] = c.Run(ctx)
			return nil
		})
	}
	_ = g.Wait() // what goes wrong is a finding
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var all []Finding
	for i, c := range checks {
		for _, f := range found[i] {
			f.Check = c.Name
			all = append(all, f)
		}
	}
	return all, nil
}

// Healthy reports whether a plain build can work: nothing is a problem.
func Healthy(found []Finding) bool {
	for _, f := range found {
		if f.Status == Problem {
			return false
		}
	}
	return true
}

// One is what most checks return.
func One(status, found, fix string) []Finding {
	return []Finding{{Status: status, Found: found, Fix: fix}}
}
