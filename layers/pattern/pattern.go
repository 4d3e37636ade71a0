// SPDX-License-Identifier: Apache-2.0

// Package pattern makes regular expressions that are compiled when they are
// first needed.
//
// Compiling all of a program's expressions while it starts takes longer than
// a build that finds everything in the cache; such a build needs few of them.
package pattern

import (
	"regexp"
	"sync"
)

// New gives a function that returns the compiled expression. It may be called
// from several goroutines. It panics if the expression isn't one, as
// [regexp.MustCompile] does: a test compiles every expression of the program.
func New(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
