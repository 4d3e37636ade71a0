// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sync/errgroup"

	"inlay/layers"
	"inlay/resolve/sandbox/changes"
)

// Tasks of this package's own. Their root directory is the one where the layers
// and the scratch directory are mounted.
const (
	removeTask = "remove"
	diffTask   = "diff"
)

var builtin = map[string]Task{removeTask: removeAll, diffTask: writeChanges}

// removeAll removes what the scratch directory holds.
func removeAll(context.Context, TaskContext) error {
	dirs, err := os.ReadDir(scratchName)
	for _, d := range dirs {
		err = errors.Join(err, os.RemoveAll(scratchName+"/"+d.Name()))
	}
	return err
}

// A record is a change on its way from the process that can read all files to the
// one that writes the layer: a line of JSON, then the content of the file. What
// may be no UTF-8, of which JSON would make something else, is bytes.
type record struct {
	Verb       verb
	Path       []byte
	Mode       fs.FileMode
	UID, GID   int
	Target     []byte // of a link of either kind
	Size       int64
	Time       int64
	Capability []byte
}

type verb byte

const (
	added verb = iota
	linked
	removed
)

// mostRecord is how long the line of a record may be: paths and targets, which the
// kernel takes up to 4 KiB, are a third longer in base64.
const mostRecord = 32 << 10

// writeChanges compares the scratch directory with the layers. Its arguments
// are whether it is a copy, whether an overlay that is a program made its marks,
// the epoch, and where the layers are.
func writeChanges(_ context.Context, t TaskContext) error {
	if len(t.Args) < 3 {
		return fmt.Errorf("%d arguments", len(t.Args))
	}
	epoch, err := strconv.ParseInt(t.Args[2], 10, 64)
	if err != nil {
		return err
	}
	c := changes.Comparison{Lower: t.Args[3:], Upper: upperName, Copy: t.Args[0] == "true", Fuse: t.Args[1] == "true", Epoch: epoch}
	if c.Made, err = readMade(); err != nil {
		return err
	}
	return c.Write(&sender{t.Out})
}

// A sender writes changes as records.
type sender struct{ out io.Writer }

func (s *sender) Add(e layers.Entry, body io.Reader) error {
	if err := s.send(added, e, e.Link); err != nil || e.Size == 0 {
		return err
	}
	if _, err := io.CopyN(s.out, body, e.Size); err != nil {
		return fmt.Errorf("sending %s: %w", e.Path, err)
	}
	return nil
}

func (s *sender) Link(e layers.Entry, target string) error { return s.send(linked, e, target) }

func (s *sender) Remove(path string) error { return s.send(removed, layers.Entry{Path: path}, "") }

func (s *sender) send(v verb, e layers.Entry, target string) error {
	return json.NewEncoder(s.out).Encode(record{
		Verb: v, Path: []byte(e.Path), Mode: e.Mode, UID: e.UID, GID: e.GID, Target: []byte(target),
		Size: e.Size, Time: e.Time, Capability: []byte(e.Capability),
	})
}

func (r *Rung) diff(ctx context.Context, root Root, epoch int64, to Writer) error {
	c := &config{
		Task: diffTask, Lower: root.Lower, Scratch: root.Scratch,
		TaskArgs: []string{strconv.FormatBool(r.copies), strconv.FormatBool(r.fuse != ""), strconv.FormatInt(epoch, 10)},
	}
	for i, p := range root.Lower {
		if !r.chroot {
			p = lowerName(i)
		} else if err := absolute(&p); err != nil {
			return err
		}
		c.TaskArgs = append(c.TaskArgs, p)
	}
	in, out := io.Pipe()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := r.perform(ctx, c, &exec.Cmd{Stdout: out})
		out.CloseWithError(err) // nil is the end
		return err
	})
	g.Go(func() error {
		err := receive(bufio.NewReaderSize(in, mostRecord), to)
		in.CloseWithError(err)
		return err
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("reading what the command changed: %w", err)
	}
	return nil
}

// receive writes the changes that records tell of.
func receive(in *bufio.Reader, to Writer) error {
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if err := r.write(in, to); err != nil {
			return err
		}
	}
}

// write writes the change, with the content that follows in the stream.
func (r *record) write(in io.Reader, to Writer) error {
	path, target := string(r.Path), string(r.Target)
	e := layers.Entry{
		Path: path, Mode: r.Mode, UID: r.UID, GID: r.GID,
		Size: r.Size, Time: r.Time, Capability: string(r.Capability),
	}
	switch r.Verb {
	case added:
		e.Link = target
		content := &io.LimitedReader{R: in, N: r.Size}
		if err := to.Add(e, content); err != nil || content.N == 0 {
			return err
		}
		return fmt.Errorf("%d bytes of %s are left over", content.N, path)
	case linked:
		return to.Link(e, target)
	case removed:
		return to.Remove(path)
	default:
		return fmt.Errorf("a record of kind %d", r.Verb)
	}
}
