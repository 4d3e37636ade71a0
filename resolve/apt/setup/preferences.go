// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"inlay/resolve/apt/deb822"
)

// A PinKind says what the text of a pin is compared with.
type PinKind string

// The kinds of pins.
const (
	PinRelease PinKind = "release" // what the release file of a package's index says
	PinOrigin  PinKind = "origin"  // the host of the archive
	PinVersion PinKind = "version" // the version of the package
)

// A Pin gives packages a priority (apt_preferences(5)).
type Pin struct {
	Packages []string // patterns of names, "src:NAME" for those of a source; "*" alone: all, unless another pin fits
	Kind     PinKind
	Match    string
	Priority int
	Where    string // file and line, for errors
}

// General reports whether p is for all packages.
func (p *Pin) General() bool { return len(p.Packages) == 1 && p.Packages[0] == "*" }

// Bounds of priorities, those of a 16 bit number.
const (
	minPriority = -1 << 15
	maxPriority = 1<<15 - 1
)

// parsePins reads a file of preferences.
func parsePins(file, text string) ([]Pin, error) {
	var all []Pin
	r := deb822.NewReader(strings.NewReader(text))
	for {
		stanza, err := r.Next()
		if err != nil {
			return all, wholeFile(file, err)
		}
		if stanza.Get("Package") == "" && stanza.Get("Pin") == "" {
			continue // an explanation alone
		}
		p, err := parsePin(stanza)
		if err != nil {
			return nil, &Error{File: file, Line: r.Line(), Problem: "begins a stanza that " + err.Error()}
		}
		p.Where = fmt.Sprintf("%s:%d", file, r.Line())
		all = append(all, p)
	}
}

func parsePin(stanza deb822.Stanza) (Pin, error) {
	p := Pin{Packages: strings.Fields(stanza.Get("Package"))}
	if len(p.Packages) == 0 {
		return p, fmt.Errorf("names no Package")
	}
	kind, match, _ := strings.Cut(stanza.Get("Pin"), " ")
	p.Kind, p.Match = PinKind(strings.ToLower(kind)), strings.TrimSpace(match)
	switch p.Kind {
	case PinRelease, PinOrigin, PinVersion:
	default:
		return p, fmt.Errorf("has the Pin %q, want release, origin or version", kind)
	}
	n, err := strconv.Atoi(stanza.Get("Pin-Priority"))
	if err != nil || n < minPriority || n > maxPriority || n == 0 {
		return p, fmt.Errorf("has the Pin-Priority %q, want a number other than 0", stanza.Get("Pin-Priority"))
	}
	p.Priority = n
	return p, nil
}

// wholeFile returns nil at the end of a file, and else says in which file the
// error is.
func wholeFile(file string, err error) error {
	if err == io.EOF {
		return nil
	}
	return fmt.Errorf("reading %s: %w", file, err)
}
