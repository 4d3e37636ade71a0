// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/cache"
	"inlay/layers"
	"inlay/resolve/plan"
)

// Recent are the layers of the last build of an image, kept as one value. What a
// step of that build says again has its layer here: the cache is asked whether it
// is still there, and neither what is known of the wheels nor the layer's own entry
// is read. A build with no change has all of them here, one with a changed source
// file all but one.
//
// Only layers that follow from their step alone are here, so it can't matter how
// old they are. Nil knows none.
type Recent struct {
	values Values
	name   string
	layers map[plan.Key]recentLayer // by the key that covers all of the step
}

// A recentLayer is what the cache knows of one.
type recentLayer struct {
	key  cache.Key // of its entry
	dirs string    // names what is known of the step's wheels; "" if it has none
	layers.Summary
}

// Recall returns what dirs has of the layers of the last build with this name.
func Recall(dirs Values, name string) *Recent {
	sum := sha256.Sum256([]byte(name))
	r := &Recent{values: dirs, name: fmt.Sprintf("recent-%x", sum)}
	b, err := dirs.Get(r.name)
	if err != nil {
		b = nil // all of it is known elsewhere too
	}
	r.layers = make(map[plan.Key]recentLayer, bytes.Count(b, []byte("\n")))
	for line := range strings.Lines(string(b)) {
		if key, l, ok := parseRecent(strings.Fields(line)); ok {
			r.layers[key] = l
		}
	}
	return r
}

// find returns the layer of a step by the key that covers all of it.
func (r *Recent) find(s plan.Step, full plan.Key, c Cache) (Layer, bool) {
	if r == nil {
		return Layer{}, false
	}
	known, ok := r.layers[full]
	if !ok || known.dirs != "" && !r.values.Use(known.dirs) {
		return Layer{}, false
	}
	l, ok := c.Known(known.key, known.Summary)
	return Layer{Layer: l, Name: s.Name, Key: known.key, Reused: true}, ok
}

// save keeps the layers of steps for the next build, if they aren't those of the
// last one. Where they can't be kept, that one takes a little longer.
func (r *Recent) save(steps []plan.Step, keys []plan.Key, made []Layer) {
	if r.has(steps, keys, made) {
		return
	}
	var b bytes.Buffer
	for i, s := range steps {
		if !follows(s) {
			continue
		}
		if err := writeRecent(&b, s, keys[i], made[i]); err != nil {
			return
		}
	}
	_ = r.values.Put(r.name, b.Bytes())
}

// has reports whether r has the layers of steps and no others.
func (r *Recent) has(steps []plan.Step, keys []plan.Key, made []Layer) bool {
	n := 0
	for i, s := range steps {
		if !follows(s) {
			continue
		}
		known, ok := r.layers[keys[i]]
		if digest, err := made[i].Digest(); !ok || err != nil || known.key != made[i].Key || known.Digest != digest {
			return false
		}
		n++
	}
	return n == len(r.layers)
}

// follows reports whether the layer of s follows from s alone: no command decides
// about it, and there is nothing to tell of it but the layer.
func follows(s plan.Step) bool { return s.Remove != nil || s.Python != nil || s.Files != nil }

// none stands for a name that there is none of.
const none = "-"

// writeRecent writes a line: the key of the step, that of the entry, the name of
// what is known of the wheels, and the layer's description.
func writeRecent(b *bytes.Buffer, s plan.Step, full plan.Key, l Layer) error {
	digest, err1 := l.Digest()
	diffID, err2 := l.DiffID()
	size, err3 := l.Size()
	mediaType, err4 := l.MediaType()
	dirs := none
	if s.Python != nil {
		dirs = dirsName(s)
	}
	fmt.Fprintf(b, "%x %x %s %s %s %d %s\n", full, l.Key, dirs, diffID, digest, size, mediaType)
	return errors.Join(err1, err2, err3, err4)
}

func parseRecent(f []string) (full plan.Key, l recentLayer, ok bool) {
	if len(f) != 7 || len(f[0]) != hex.EncodedLen(len(full)) || len(f[1]) != hex.EncodedLen(len(l.key)) {
		return full, l, false
	}
	_, err1 := hex.Decode(full[:], []byte(f[0]))
	_, err2 := hex.Decode(l.key[:], []byte(f[1]))
	if f[2] != none {
		l.dirs = f[2]
	}
	var err3, err4, err5 error
	l.DiffID, err3 = v1.NewHash(f[3])
	l.Digest, err4 = v1.NewHash(f[4])
	l.Size, err5 = strconv.ParseInt(f[5], 10, 64)
	l.MediaType = types.MediaType(f[6])
	return full, l, errors.Join(err1, err2, err3, err4, err5) == nil
}
