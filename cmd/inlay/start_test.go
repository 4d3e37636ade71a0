// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// mostAtStart is how many bytes one package may allocate before main begins.
const mostAtStart = 100 << 10

// TestStart holds that no package of the program does much before main begins:
// each start of it costs every build, most of which do little else. AWS's clients
// build 0.4 MB of schemas in versions from September 2026 on, for one request of one
// kind of registry: go.mod has those before.
func TestStart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ofTests := map[string]bool{
		"inlay/cmd/inlay":                    true, // what its tests share
		"github.com/google/go-cmp/cmp":       true,
		"github.com/russross/blackfriday/v2": true, // not with the tag of the justfile
	}
	all := regexp.MustCompile(`(?m)^init (\S+) .* (\d+) bytes`).FindAllSubmatch(out, -1)
	if len(all) < 50 {
		t.Fatalf("%d packages begin, which can't be all:\n%s", len(all), out)
	}
	for _, m := range all {
		name := string(m[1])
		if n, err := strconv.Atoi(string(m[2])); err != nil || n > mostAtStart && !ofTests[name] {
			t.Errorf("%s allocates %s bytes at each start, more than %d: begin it when it is needed, or take a version that does", name, m[2], mostAtStart)
		}
	}
}
