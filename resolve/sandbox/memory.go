// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
)

// A recollection is what [Rung.Memory] keeps of a rung.
type recollection struct {
	Name, Why, Fix, Owners string
	Asked                  bool
}

// Memory returns what [Recall] makes the rung of, in another process: trying
// takes longer than what many commands do. It holds as long as [Circumstances]
// are the same.
func (r *Rung) Memory() ([]byte, error) {
	return json.Marshal(recollection{Name: r.Name, Why: r.Why, Fix: r.Fix, Owners: r.Owners, Asked: r.Asked})
}

// Recall returns a rung that worked.
func Recall(b []byte) (*Rung, error) {
	var m recollection
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("recalling how commands were isolated: %w", err)
	}
	r := &Rung{Name: m.Name, Works: true, Why: m.Why, Fix: m.Fix, Owners: m.Owners, Asked: m.Asked}
	return r, r.recall()
}

// Circumstances returns a text that is another one when other rungs may work
// with directories in dir than when it was taken: after a start of the machine,
// for another user, program or container, or with other settings of the system.
func Circumstances(dir string) string { return circumstances(dir) }
