// SPDX-License-Identifier: Apache-2.0

package dockerfile

// A Read is an instruction as it was read, for tests.
type Read struct {
	Line  int
	Name  string
	Flags []string
	Rest  string
	Docs  []string
}

// Instructions reads the instructions of a text.
func Instructions(text string) (all []Read, err error) {
	f := &File{Name: "Dockerfile"}
	read, err := f.read(text)
	for _, i := range read {
		r := Read{Line: i.line, Name: i.name, Flags: i.flags, Rest: i.rest}
		for _, d := range i.docs {
			r.Docs = append(r.Docs, d.text)
		}
		all = append(all, r)
	}
	return all, err
}
