// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// What one layer may hold at most. The limits stand far above real layers and
// low enough that a layer made to harm is an error, not a full memory.
const (
	maxEntries = 4 << 20   // entries
	maxName    = 4096      // bytes of a name or of a link's target, as PATH_MAX
	maxFile    = 32 << 20  // bytes kept of one file
	maxKept    = 128 << 20 // bytes kept of one layer
	maxTar     = 1 << 40   // bytes of the tar
	maxWindow  = 128 << 20 // bytes of zstd's window
)

// The marks of whiteouts (OCI image specification, "Whiteouts").
const (
	WhiteoutPrefix = ".wh."
	WhiteoutOpaque = ".wh..wh..opq"
	whiteoutMeta   = ".wh..wh." // of aufs itself; engines ignore these files
)

// A Keep says which files' contents an Index keeps: for each regular file it
// returns how to extract what to keep of the body, or nil. Of a body that was
// not read to its end the rest is skipped. An extract that returns nil bytes
// keeps nothing; at most 32 MiB of a file and 128 MiB of a layer can be kept.
type Keep func(e Entry) (extract func(body io.Reader) ([]byte, error))

// An Index lists what one layer holds: its entries, its whiteouts, and what
// was kept of its files.
type Index struct {
	records []record // in the order of the tar
}

// Kept returns the regular files of the layer of which something was kept, with
// that, in the order of the tar. Nobody must change it.
func (ix *Index) Kept() iter.Seq2[Entry, []byte] {
	return func(yield func(Entry, []byte) bool) {
		for i := range ix.records {
			if r := &ix.records[i]; r.kept != nil && !yield(r.Entry, r.kept) {
				return
			}
		}
	}
}

// A record is one entry of a layer, or a mark.
type record struct {
	Entry
	kind Kind
	kept []byte // nil: nothing
}

// A Kind says what an entry of a layer stands for.
type Kind byte

// The kinds of entries.
const (
	Plain    Kind = iota // a file, a directory or a link
	HardLink             // another name of the file Link
	Whiteout             // Path is hidden in the layers below
	Opaque               // all that Path holds in the layers below is hidden
	nothing              // engines ignore it, and so does an Index
)

// An EntryError reports an entry that no engine unpacks, or only to harm.
type EntryError struct {
	Name    string // as the layer has it
	Problem string

	read bool // in a layer that somebody else wrote
}

func (e *EntryError) Error() string { return fmt.Sprintf("entry %q %s", e.Name, e.Problem) }

// Hint says how to do without such a layer, or such an entry.
func (e *EntryError) Hint() string {
	if !e.read {
		return "rename it, or leave it out with .dockerignore"
	}
	return "engines don't unpack such a layer either: build that image anew, or name another parent image"
}

// A LimitError reports a layer that holds more than Scan reads.
type LimitError struct {
	What  string // "entries", "bytes", …
	Limit int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the layer has more than %d %s", e.Limit, e.What)
}

// Hint says how to do without such a layer.
func (e *LimitError) Hint() string {
	return "no layer that serves a purpose is as large: build that image anew, or name another parent image"
}

// A TarError reports bytes that are no tar, or compressed in no way that
// engines know.
type TarError struct {
	Entries int // that were read before
	Err     error
}

func (e *TarError) Error() string {
	return fmt.Sprintf("reading the tar after %d entries: %v", e.Entries, e.Err)
}

// Unwrap returns what reading it said.
func (e *TarError) Unwrap() error { return e.Err }

// Hint says how to get another.
func (e *TarError) Hint() string {
	return "that image is damaged where it comes from: fetch or build it anew, or name another parent image"
}

// Scan reads a layer once, as a stream, and lists what it holds. The layer is a
// tar as [Uncompress] takes it. Names are cleaned as container engines do: a
// leading "/" or "./" is dropped, and one that leads out of the image is an
// [*EntryError]. A layer beyond the limits is a [*LimitError], one that is no
// tar a [*TarError].
//
// Scan reads r to its end, so that a reader that verifies itself has its say.
func Scan(ctx context.Context, r io.Reader, keep Keep) (*Index, error) {
	return scan(ctx, r, keep, maxEntries)
}

// A Visit is shown an entry of a layer, with its time and capability, and of a
// regular file the body.
type Visit func(e Entry, kind Kind, body io.Reader) error

// Read is Scan that shows visit every entry, in the order of the tar. An error
// of visit ends it.
func Read(ctx context.Context, r io.Reader, visit Visit) (*Index, error) {
	return (&scanner{src: &witness{r: r}, visit: visit, most: maxEntries}).scan(ctx)
}

// scan is Scan with a limit of entries.
func scan(ctx context.Context, r io.Reader, keep Keep, most int) (*Index, error) {
	return (&scanner{src: &witness{r: r}, keep: keep, most: most}).scan(ctx)
}

func (s *scanner) scan(ctx context.Context) (*Index, error) {
	zr, err := Uncompress(s.src)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	defer func() { _ = zr.Close() }() // only read
	body := limit(ctx, zr, maxTar)
	s.tar = tar.NewReader(body)
	if err := s.entries(ctx); err != nil {
		return nil, err
	}
	for _, rest := range []io.Reader{body, s.src} {
		if _, err := io.Copy(io.Discard, rest); err != nil {
			return nil, fmt.Errorf("reading what follows the tar: %w", s.failed(ctx, err))
		}
	}
	return &s.ix, nil
}

type scanner struct {
	src   *witness
	tar   *tar.Reader
	keep  Keep  // nil keeps nothing
	visit Visit // or nil
	most  int   // entries
	kept  int64
	size  int64 // that the headers give the files
	ix    Index
}

func (s *scanner) entries(ctx context.Context) error {
	for {
		h, err := s.tar.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.failed(ctx, err)
		}
		if len(s.ix.records) == s.most {
			return &LimitError{What: "entries", Limit: int64(s.most)}
		}
		if err := s.add(h); err != nil {
			return err
		}
	}
}

// failed returns the error that err of the tar's reader is. What the layer comes
// from speaks for itself.
func (s *scanner) failed(ctx context.Context, err error) error {
	if limit := (*LimitError)(nil); errors.As(err, &limit) {
		return err
	}
	if s.src.err != nil || ctx.Err() != nil {
		return fmt.Errorf("reading the tar after %d entries: %w", len(s.ix.records), err)
	}
	return &TarError{Entries: len(s.ix.records), Err: err}
}

// A witness remembers the error of what it reads from.
type witness struct {
	r   io.Reader
	err error
}

// Read reads on.
func (w *witness) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

func (s *scanner) add(h *tar.Header) error {
	// Told by the header, not by reading so much.
	if s.size += h.Size; s.size > maxTar || s.size < 0 {
		return &LimitError{What: "bytes", Limit: maxTar}
	}
	rec, err := newRecord(h)
	if err != nil || rec.kind == nothing {
		return err
	}
	if rec.kind == Plain && rec.Mode.IsRegular() && s.keep != nil {
		if extract := s.keep(rec.Entry); extract != nil {
			if rec.kept, err = s.extract(extract); err != nil {
				return fmt.Errorf("reading %s: %w", rec.Path, err)
			}
		}
	}
	s.ix.records = append(s.ix.records, rec)
	if s.visit == nil {
		return nil
	}
	e := rec.Entry
	e.Time, e.Capability = h.ModTime.Unix(), h.PAXRecords[capability]
	return s.visit(e, rec.kind, s.tar)
}

func (s *scanner) extract(from func(io.Reader) ([]byte, error)) ([]byte, error) {
	b, err := from(s.tar)
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, &LimitError{What: "bytes to keep of one file", Limit: maxFile}
	}
	if s.kept += int64(len(b)); s.kept > maxKept {
		return nil, &LimitError{What: "bytes to keep", Limit: maxKept}
	}
	return b, nil
}

// newRecord returns what h says; its kind is nothing if h means nothing to
// engines.
func newRecord(h *tar.Header) (record, error) {
	bad := func(format string, args ...any) (record, error) {
		return record{}, &EntryError{Name: shorten(h.Name), Problem: fmt.Sprintf(format, args...), read: true}
	}
	name, ok := cleanName(h.Name)
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader:
		return record{kind: nothing}, nil
	case len(h.Name) > maxName || len(h.Linkname) > maxName:
		return bad("has a name of more than %d bytes", maxName)
	case !ok:
		return bad("leads out of the image")
	case min(h.Uid, h.Gid) < 0 || int64(max(h.Uid, h.Gid)) > maxID:
		return bad("has an owner out of range")
	}
	if rec, marked := newMark(name); marked {
		if rec.Path == "" {
			return bad("is a whiteout of nothing")
		}
		return rec, nil
	}
	t, ok := modes[h.Typeflag]
	if !ok {
		return bad("is of unknown type %q", h.Typeflag)
	}
	if name == "." && t != fs.ModeDir {
		return bad("stands for the image's root and is no directory")
	}
	const special = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	rec := record{Entry: Entry{Path: name, Mode: h.FileInfo().Mode()&special | t, UID: h.Uid, GID: h.Gid}}
	switch {
	case h.Typeflag == tar.TypeSymlink:
		rec.Link = h.Linkname
	case h.Typeflag == tar.TypeLink:
		if rec.Link, ok = cleanName(h.Linkname); !ok {
			return bad("is a hard link to %q, which leads out of the image", shorten(h.Linkname))
		}
		rec.kind = HardLink
	case t == 0:
		rec.Size = h.Size
	}
	return rec, nil
}

// maxID is the largest user or group id that Linux knows.
const maxID = 1<<32 - 2

// modes maps the types of entries that engines unpack to their type bits. Those
// of a hard link are its target's.
var modes = map[byte]fs.FileMode{
	tar.TypeReg:       0,
	tar.TypeCont:      0,
	tar.TypeGNUSparse: 0,
	tar.TypeLink:      0,
	tar.TypeDir:       fs.ModeDir,
	tar.TypeSymlink:   fs.ModeSymlink,
	tar.TypeChar:      fs.ModeDevice | fs.ModeCharDevice,
	tar.TypeBlock:     fs.ModeDevice,
	tar.TypeFifo:      fs.ModeNamedPipe,
}

// newMark returns the mark that name stands for, if it does. The Path of one
// that hides nothing is empty.
func newMark(name string) (rec record, marked bool) {
	dir, base := path.Split(name)
	rest, found := strings.CutPrefix(base, WhiteoutPrefix)
	switch {
	case strings.Contains("/"+dir, "/"+whiteoutMeta):
		return record{kind: nothing, Entry: Entry{Path: name}}, true
	case !found:
		return record{}, false
	case base == WhiteoutOpaque:
		return record{kind: Opaque, Entry: Entry{Path: path.Clean(dir)}}, true
	case strings.HasPrefix(base, whiteoutMeta):
		return record{kind: nothing, Entry: Entry{Path: name}}, true
	case rest == "" || rest == "." || rest == "..":
		return record{kind: Whiteout}, true
	default:
		return record{kind: Whiteout, Entry: Entry{Path: path.Join(dir, rest)}}, true
	}
}

// cleanName returns name relative to the image's root, and whether it stays
// inside.
func cleanName(name string) (string, bool) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	return clean, clean != ".." && !strings.HasPrefix(clean, "../") && !strings.Contains(clean, "\x00")
}

func shorten(name string) string {
	if len(name) > 200 {
		return name[:200] + "…"
	}
	return name
}

// Uncompress returns the bytes of the tar that r holds: compressed with gzip of
// one or more members, with zstd of one or more frames, or not at all. The first
// bytes tell which. Closing it doesn't close r.
func Uncompress(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(br)
	case isZstd(magic):
		zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return zr.IOReadCloser(), nil
	default:
		return io.NopCloser(br), nil
	}
}

// isZstd says whether magic begins a frame or a skippable one (RFC 8878).
func isZstd(magic []byte) bool {
	return bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18})
}

// limit returns a reader of r that ends with an error when ctx is done or more
// than n bytes were read.
func limit(ctx context.Context, r io.Reader, n int64) io.Reader {
	left := n
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		got, err := r.Read(p)
		if left -= int64(got); left < 0 {
			return 0, &LimitError{What: "bytes", Limit: n}
		}
		return got, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
