// SPDX-License-Identifier: Apache-2.0

package dockerfile

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"inlay/layers/pattern"
	"inlay/resolve/plan"
)

// configure evaluates an instruction that changes the configuration alone.
func (e *evaluation) configure(i instruction) error {
	c := &e.state.Changes
	switch i.name {
	case "CMD":
		c.Cmd, e.cmdSet = e.shell(i.rest), true
		return nil
	case "ENTRYPOINT":
		c.Entrypoint = e.shell(i.rest)
		if !e.cmdSet { // a command of the parent is for its own entrypoint
			c.Cmd = nil
		}
		return nil
	case "SHELL":
		words, ok := array(i.rest)
		if !ok || len(words) == 0 {
			return e.file.fault(i, "want the words of a command as JSON has them", `write SHELL ["/bin/bash", "-c"]`)
		}
		e.state.Shell, c.Shell = words, words
		return nil
	case "HEALTHCHECK":
		return e.healthcheck(i)
	case "EXPOSE":
		return e.expose(i)
	case "VOLUME":
		return e.volume(i)
	}
	text, err := e.word(i, i.rest)
	if err != nil {
		return err
	}
	if text == "" {
		return e.file.fault(i, "it is empty", "give the variables that it is made of a value")
	}
	if i.name == "USER" {
		e.state.User, c.User = text, text
		return nil
	}
	c.StopSignal = text
	return nil
}

var port = pattern.New(`^([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?$`)

func (e *evaluation) expose(i instruction) error {
	words, err := e.words(i, strings.Fields(i.rest))
	if err != nil {
		return err
	}
	ports := slices.Clone(e.state.Changes.Ports)
	for _, w := range words {
		m := port().FindStringSubmatch(strings.ToLower(w))
		if m == nil {
			return e.file.fault(i, fmt.Sprintf("%q is no port", w), "write a number, perhaps with /tcp, /udp or /sctp")
		}
		first, _ := strconv.Atoi(m[1])
		last, _ := strconv.Atoi(m[2])
		if m[2] == "" {
			last = first
		}
		if first < 1 || last < first || last > 65535 {
			return e.file.fault(i, fmt.Sprintf("%q is no port from 1 to 65535", w), "write numbers of ports")
		}
		for n := first; n <= last; n++ {
			ports = append(ports, fmt.Sprintf("%d/%s", n, strings.ToLower(defaulted(m[3], "tcp"))))
		}
	}
	slices.Sort(ports)
	e.state.Changes.Ports = slices.Compact(ports)
	return nil
}

func defaulted(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (e *evaluation) volume(i instruction) error {
	words, err := e.words(i, list(i.rest))
	if err != nil {
		return err
	}
	volumes := slices.Clone(e.state.Changes.Volumes)
	for _, w := range words {
		if !path.IsAbs(w) {
			return e.file.fault(i, fmt.Sprintf("%q is not absolute", w), "write the whole path")
		}
		volumes = append(volumes, path.Clean(w))
	}
	slices.Sort(volumes)
	e.state.Changes.Volumes = slices.Compact(volumes)
	return nil
}

func (e *evaluation) healthcheck(i instruction) error {
	kind, rest, _ := strings.Cut(i.rest, " ")
	h := &plan.Healthcheck{}
	switch strings.ToUpper(kind) {
	case "NONE":
		h.Test = []string{"NONE"}
	case "CMD":
		rest = strings.TrimSpace(rest)
		if words, ok := array(rest); ok {
			h.Test = append([]string{"CMD"}, words...)
		} else {
			h.Test = []string{"CMD-SHELL", rest}
		}
	default:
		return e.file.fault(i, fmt.Sprintf("%q is neither CMD nor NONE", kind), "write HEALTHCHECK CMD and a command")
	}
	for _, f := range i.flags {
		if err := e.check(i, h, f); err != nil {
			return err
		}
	}
	e.state.Changes.Healthcheck = h
	return nil
}

// check sets what a flag says of a check.
func (e *evaluation) check(i instruction, h *plan.Healthcheck, f string) (err error) {
	name, value, _ := strings.Cut(f, "=")
	switch name {
	case "--interval":
		h.Interval, err = time.ParseDuration(value)
	case "--timeout":
		h.Timeout, err = time.ParseDuration(value)
	case "--start-period":
		h.StartPeriod, err = time.ParseDuration(value)
	case "--start-interval":
		h.StartInterval, err = time.ParseDuration(value)
	default:
		h.Retries, err = strconv.Atoi(value)
	}
	if err != nil {
		return e.file.fault(i, fmt.Sprintf("%s is not a time, or a number", f), "write --interval=30s, --retries=3")
	}
	return nil
}
