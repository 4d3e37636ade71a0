// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"inlay/resolve/index"
)

// askHome prints where a Python and its pip are, and which index is pip's own.
const askHome = `import json, os, sys
if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])
import pip
from pip._internal.models.index import PyPI
print(json.dumps({
    "executable": sys.executable, "index": PyPI.simple_url,
    "dirs": [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, os.path.dirname(os.path.dirname(pip.__file__))],
}))`

// settle finds out what pip needs to run isolated: what the Python's program is,
// which may have been found as a script that starts it, and where its library is.
func (s *pipSession) settle(ctx context.Context, run Runner) error {
	var out bytes.Buffer
	said := &logWriter{}
	exit, err := run.Run(ctx, Command{
		Path: s.pip.Python, Args: []string{"-I", "-B", "-c", askHome, s.pip.Wheel}, Env: s.common, Stdout: &out, Stderr: said,
	})
	if err != nil {
		return err
	}
	var home struct {
		Executable, Index string
		Dirs              []string
	}
	if err := json.Unmarshal(out.Bytes(), &home); exit != 0 || err != nil || home.Executable == "" {
		return fmt.Errorf("%s doesn't tell where it is: %s", s.pip.Python, lastLine(said.String()))
	}
	s.pip.Python = home.Executable
	s.needs.Read = append(append(s.needs.Read, home.Executable), home.Dirs...)
	if s.pip.Wheel != "" {
		s.needs.Read = append(s.needs.Read, s.pip.Wheel)
	}
	s.own = func(_ context.Context, set *index.Set) (*index.Set, error) {
		if set.Default() != "" {
			return set, nil
		}
		return set.With("pip "+s.pip.Version, index.Index{URL: home.Index, Default: true})
	}
	return nil
}
