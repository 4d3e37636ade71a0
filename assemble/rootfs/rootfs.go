// SPDX-License-Identifier: Apache-2.0

// Package rootfs lays the layers of an image out as directories, to run
// commands over, and writes what a command changed as a layer.
//
// A layer is unpacked once, into a directory that is whole or absent and that
// nobody but its owner can enter, and never out of it, whatever its tar says.
// Each is a lower directory of an overlay: removed files are devices 0:0, and
// directories that hide what is below carry the overlay's attribute. On an overlay,
// over which there can be no other, files .wh.NAME take the place of the devices.
// Devices and pipes are left out.
package rootfs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/cache/disk"
	"inlay/layers"
)

// What the directory of a layer holds.
const (
	treeDir   = "tree"  // its files
	indexName = "index" // a value: its layers.Index
	sealName  = "seal"  // a value: its seal
)

// form is part of the name of every layer's directory. It grows when layers are
// unpacked in another way.
const form = 1

// A seal is what is known of an unpacked layer.
type seal struct {
	Owners string // the store's
	Sum    string // of the tree, see Task
	Whole  bool   // it hides all that is below it
}

// A Store is a directory of unpacked layers. Several processes may share it.
type Store struct {
	Dir  string
	Jobs int // layers unpacked at a time; less than 1 means 1

	// Owners names whom unpacked files belong to. Layers that were unpacked for
	// other owners are others.
	Owners string
	// Do runs Task in a process that has the ids of these owners; dir is made if
	// it isn't there. Remove removes what that made.
	Do     func(ctx context.Context, task, dir string, in io.Reader, out io.Writer) error
	Remove func(ctx context.Context, dirs ...string) error

	// Progress is told of layers that are unpacked; nil shows none.
	Progress func(task string, total int64) (add func(int64), done func(error))
}

// A Tree is an image whose layers are unpacked.
type Tree struct {
	// Dirs are the directories of the layers, the topmost first. Nothing below
	// the last shows.
	Dirs []string

	all     []string // the directories of all layers, lowest first
	indexes []*layers.Index
}

// maxRead bounds what ReadFile reads, in bytes.
const maxRead = 16 << 20

// ReadFile returns the content of the regular file that name leads to, such as
// etc/passwd.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	v, err := t.View()
	if err != nil {
		return nil, err
	}
	name, err = v.Resolve(name)
	if err != nil {
		return nil, err
	}
	info, err := v.Lstat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxRead) {
		err = &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return nil, err
	}
	layer, err := v.Layer(name)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(t.all[layer])
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only a handle
	return root.ReadFile(name)
}

// View returns the tree without the contents of its files.
func (t *Tree) View() (*layers.View, error) { return layers.Stack(t.indexes...) }

// Tree returns the tree of the layers ls, lowest first, and unpacks those that
// are not there yet. The layers' readers must check their digests.
func (s *Store) Tree(ctx context.Context, ls []v1.Layer) (*Tree, error) {
	all := make([]*unpacked, len(ls))
	for i, l := range ls {
		digest, err := l.Digest()
		if err != nil {
			return nil, fmt.Errorf("unpacking layer %d: %w", i+1, err)
		}
		all[i] = &unpacked{layer: l, digest: digest, ready: make(chan struct{}), below: all[:i]}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(s.Jobs, 1)) // a layer waits for those below, which were started before it
	for i, u := range all {
		g.Go(func() error {
			if err := s.layer(ctx, u); err != nil {
				return fmt.Errorf("unpacking layer %d: %w", i+1, err)
			}
			close(u.ready)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	t := &Tree{}
	for _, u := range all {
		if u.whole {
			t.Dirs = nil
		}
		t.Dirs = append(t.Dirs, u.dir)
		t.all, t.indexes = append(t.all, u.dir), append(t.indexes, u.index)
	}
	slices.Reverse(t.Dirs)
	return t, nil
}

// An unpacked layer stands on those below it.
type unpacked struct {
	layer  v1.Layer
	digest v1.Hash
	dir    string
	index  *layers.Index
	whole  bool
	ready  chan struct{} // closed when it is there
	below  []*unpacked
}

// under waits for the layers below u, and returns them.
func (u *unpacked) under(ctx context.Context) (*stack, error) {
	s := &stack{ctx: ctx}
	var indexes []*layers.Index
	for _, b := range u.below {
		select {
		case <-b.ready:
			s.layers, indexes = append(s.layers, b.layer), append(indexes, b.index)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var err error
	s.view, err = layers.Stack(indexes...)
	return s, err
}

// layer finds or makes the directory of u. Most layers say all of themselves and
// are known by their digest. One with files in directories that it doesn't name
// is another on other layers, and known by theirs too.
func (s *Store) layer(ctx context.Context, u *unpacked) error {
	chain := []string{u.digest.String()}
	for _, b := range u.below {
		chain = append(chain, b.digest.String())
	}
	names := []string{s.name(chain[:1]), s.name(chain)}
	known := func() bool { return s.known(u, names[0]) || s.known(u, names[1]) }
	if known() {
		return nil
	}
	unlock, err := disk.Only(ctx, s.Dir, names[0])
	if err != nil {
		return err
	}
	defer unlock()
	if known() {
		return nil // another made it meanwhile
	}
	for _, name := range names { // what is damaged nobody uses
		if err := s.remove(ctx, filepath.Join(s.Dir, name)); err != nil {
			return err
		}
	}
	return s.unpack(ctx, u, names)
}

// name returns the name of the directory of the layer chain[0], that depends on
// the others.
func (s *Store) name(chain []string) string {
	h := sha256.New()
	fmt.Fprintln(h, form, s.Owners, len(chain), chain)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// known fills u in from the directory name, and reports whether it is there.
func (s *Store) known(u *unpacked, name string) bool {
	dir := filepath.Join(s.Dir, name)
	values := disk.Values{Dir: dir}
	var what seal
	b, err := values.Peek(sealName)
	if err != nil || json.Unmarshal(b, &what) != nil {
		return false
	}
	if b, err = values.Peek(indexName); err != nil {
		return false
	}
	if u.index, err = layers.DecodeIndex(bytes.NewReader(b)); err != nil {
		return false
	}
	disk.Touch(dir)
	u.dir, u.whole = filepath.Join(dir, treeDir), what.Whole
	return true
}

// unpack makes the directory of u, under the name that is right for it.
func (s *Store) unpack(ctx context.Context, u *unpacked, names []string) error {
	scratch, remove, err := disk.Scratch(ctx, s.Dir)
	if err != nil {
		return err
	}
	defer remove()
	dir := filepath.Join(scratch, "layer")
	defer s.remove(context.WithoutCancel(ctx), dir) //nolint:errcheck // if not now, then with scratch
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	asked, err := s.fill(ctx, u, dir)
	if err != nil {
		return err
	}
	name := names[0]
	if asked {
		name = names[1]
	}
	if err := disk.CommitTree(dir, s.Dir, name); err != nil {
		return err
	}
	if !s.known(u, name) {
		return fmt.Errorf("%s changed while it was made", filepath.Join(s.Dir, name))
	}
	return nil
}

// fill unpacks u into dir and writes down there what is known of it. It reports
// whether that depends on the layers below.
func (s *Store) fill(ctx context.Context, u *unpacked, dir string) (asked bool, err error) {
	r, w := io.Pipe()
	var total bytes.Buffer
	worked := make(chan error, 1)
	go func() {
		err := s.Do(ctx, UnpackTask, filepath.Join(dir, treeDir), r, &total)
		_ = r.CloseWithError(cmp.Or(err, errEnded))
		worked <- err
	}()
	f := newFlattener(w, func() (*stack, error) { return u.under(ctx) })
	ix, err := s.read(ctx, u.layer, f)
	_ = w.CloseWithError(err)
	failed := <-worked
	if failed != nil && (err == nil || errors.Is(err, failed)) {
		return false, failed
	}
	if err != nil {
		return false, err
	}
	return f.asked, keep(dir, seal{Owners: s.Owners, Sum: total.String(), Whole: f.whole()}, ix)
}

// errEnded says that nobody reads on what is written.
var errEnded = errors.New("unpacking has ended")

// read shows the layer to f.
func (s *Store) read(ctx context.Context, l v1.Layer, f *flattener) (ix *layers.Index, err error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	src := io.Reader(r)
	if s.Progress != nil {
		size, err := l.Size()
		if err != nil {
			return nil, err
		}
		add, done := s.Progress("unpack a layer", size)
		defer func() { done(err) }()
		src = &counted{r, add}
	}
	if ix, err = layers.Read(ctx, src, f.add); err != nil {
		return nil, err
	}
	return ix, f.out.Close()
}

// keep writes down what is known of a layer in its directory.
func keep(dir string, what seal, ix *layers.Index) error {
	b, err := json.Marshal(what)
	if err != nil {
		return err
	}
	var index bytes.Buffer
	if err := ix.Encode(&index); err != nil {
		return err
	}
	values := disk.Values{Dir: dir}
	return errors.Join(values.Put(indexName, index.Bytes()), values.Put(sealName, b))
}

// remove removes the directory of a layer, if it is there.
func (s *Store) remove(ctx context.Context, dir string) error {
	if disk.RemoveAll(dir) == nil {
		return nil
	}
	if err := s.Remove(ctx, filepath.Join(dir, treeDir)); err != nil {
		return err
	}
	return disk.RemoveAll(dir)
}

// A counted reader tells of the bytes read.
type counted struct {
	io.Reader
	add func(int64)
}

// Read reads on.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.add(int64(n))
	return n, err
}

// Check returns what is wrong with the directory at path of the store. That of
// other owners is not looked into.
func (s *Store) Check(ctx context.Context, path string) error {
	values := disk.Values{Dir: path}
	var what seal
	b, err := values.Peek(sealName)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err == nil {
		_, err = values.Peek(indexName)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && json.Unmarshal(b, &what) != nil {
		return errors.New("is damaged")
	}
	if err != nil || what.Owners != s.Owners {
		return err
	}
	var got bytes.Buffer
	if err := s.Do(ctx, SumTask, filepath.Join(path, treeDir), nil, &got); err != nil {
		return err
	}
	if got.String() != what.Sum {
		return errors.New("its files are not those of the layer")
	}
	return nil
}
