// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"net/url"
	"strings"
)

// A Listed is what the page of a project says of a file.
type Listed struct {
	URL    string
	SHA256 string // in hex
	Size   int64  // 0 if the page doesn't say it
}

// Listed returns what the index says of wheels of these names, in pages that were
// read on the way through. It has only those of which any reader of these pages
// would say the same, letter by letter, and none where there are more indexes: an
// installer has its own rules for which of them counts.
func (n *Network) Listed(files []string) map[string]Listed {
	if len(n.index) != 1 {
		return nil
	}
	return n.index[0].listed(files)
}

func (g *Gateway) listed(files []string) map[string]Listed {
	wanted := make(map[string]bool, len(files))
	for _, f := range files {
		wanted[f] = true
	}
	all, clash := map[string]Listed{}, map[string]bool{}
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, l := range g.links {
		file := name[strings.LastIndexByte(name, '/')+1:]
		if !wanted[file] {
			continue
		}
		if _, again := all[file]; again || l.page != projectOf(file) || l.digest == "" || l.size < 0 || !plainWheel(name) {
			clash[file] = true
		}
		all[file] = Listed{name, l.digest, l.size}
	}
	for file := range clash {
		delete(all, file)
	}
	return all
}

// plainWheel reports whether a URL of a wheel has but one spelling. Those of
// plainArchive have; beside these, a port may be in it.
func plainWheel(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return false
	}
	at, rest, _ := strings.Cut(strings.TrimPrefix(raw, u.Scheme+"://"), "/")
	if port := u.Port(); port != "" {
		at = strings.TrimSuffix(at, ":"+port)
	}
	_, _, _, plain := plainArchive(u.Scheme + "://" + at + "/" + rest)
	return plain && strings.HasSuffix(rest, ".whl")
}
