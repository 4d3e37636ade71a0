// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"inlay/resolve/sandbox"
)

// volumes reads "SOURCE:TARGET[:OPTIONS]". A source is a path of this machine:
// there are no volumes with names.
func volumes(texts []string) ([]sandbox.Mount, error) {
	var all []sandbox.Mount
	for _, text := range texts {
		m, err := volume(text)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func volume(text string) (sandbox.Mount, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !path.IsAbs(parts[1]) || path.Clean(parts[1]) == "/" {
		return sandbox.Mount{}, &RequestError{fmt.Sprintf("%q is no volume", text), "write --volume SOURCE:TARGET or SOURCE:TARGET:ro, with an absolute TARGET"}
	}
	if !strings.ContainsAny(parts[0], "/.") {
		return sandbox.Mount{}, &RequestError{fmt.Sprintf("there are no volumes with names, such as %q", parts[0]), "name a directory of this machine: --volume ./" + text}
	}
	m := sandbox.Mount{Target: path.Clean(parts[1]), Writable: true}
	if len(parts) == 3 {
		for option := range strings.SplitSeq(parts[2], ",") {
			switch option {
			case "ro":
				m.Writable = false
			case "rw":
			default:
				return sandbox.Mount{}, &RequestError{fmt.Sprintf("the option %q of the volume %q is not supported", option, text), "write ro, or leave it out"}
			}
		}
	}
	var err error
	if m.Source, err = filepath.Abs(parts[0]); err != nil {
		return sandbox.Mount{}, err
	}
	if _, err := os.Stat(m.Source); err != nil {
		return sandbox.Mount{}, fmt.Errorf("mounting a volume: %w", err)
	}
	return m, nil
}
