// SPDX-License-Identifier: Apache-2.0

package plan

import "errors"

// Code is the source where the image doesn't hold it: what containers fetch when
// they start, a commit of a repository or what was uploaded to a store. The image
// has no part in it, so it is none of what Digest covers: the same image runs
// the source of today and of tomorrow.
type Code struct {
	Target string  `json:"target"`           // where containers put it, absolute
	Commit *Commit `json:"commit,omitempty"` // either this
	Store  string  `json:"store,omitempty"`  // or the URL of a store
	Files  *Files  `json:"files,omitempty"`  // and what goes there, from its root
}

// A Commit is one of a repository that containers can reach.
type Commit struct {
	URL          string `json:"url"` // that git clones, without a login
	ID           string `json:"id"`
	Subdirectory string `json:"subdirectory,omitempty"` // that the source is, with slashes; "" for all of it
}

// check returns what is wrong with c.
func (c *Code) check() error {
	switch {
	case c == nil:
		return nil
	case (c.Commit == nil) == (c.Store == ""), (c.Store == "") != (c.Files == nil):
		return errors.New("its code is of none or several places")
	}
	return nil
}
