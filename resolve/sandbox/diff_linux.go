// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
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

// A record is a change, or a piece of the content of the last one, on its way
// from the process that can read all files to the one that writes the layer.
type record struct {
	Verb   verb
	Entry  layers.Entry
	Target string
	Data   []byte
}

type verb byte

const (
	added verb = iota
	linked
	removed
	content
)

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
	return c.Write(&sender{gob.NewEncoder(t.Out)})
}

// A sender writes changes as records.
type sender struct{ enc *gob.Encoder }

func (s *sender) Add(e layers.Entry, body io.Reader) error {
	if err := s.enc.Encode(record{Verb: added, Entry: e}); err != nil || body == nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for left := e.Size; left > 0; {
		n, err := io.ReadFull(body, buf[:min(left, int64(len(buf)))])
		if err != nil {
			return fmt.Errorf("reading %s: %w", e.Path, err)
		}
		if err := s.enc.Encode(record{Verb: content, Data: buf[:n]}); err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

func (s *sender) Link(e layers.Entry, target string) error {
	return s.enc.Encode(record{Verb: linked, Entry: e, Target: target})
}

func (s *sender) Remove(path string) error {
	return s.enc.Encode(record{Verb: removed, Target: path})
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
		err := receive(gob.NewDecoder(in), to)
		in.CloseWithError(err)
		return err
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("reading what the command changed: %w", err)
	}
	return nil
}

// receive writes the changes that records tell of.
func receive(dec *gob.Decoder, to Writer) error {
	for {
		var r record
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch r.Verb {
		case added:
			err = to.Add(r.Entry, &contents{dec: dec, left: r.Entry.Size})
		case linked:
			err = to.Link(r.Entry, r.Target)
		case removed:
			err = to.Remove(r.Target)
		default:
			err = fmt.Errorf("a record of kind %d", r.Verb)
		}
		if err != nil {
			return err
		}
	}
}

// contents reads the content of one file from the records that follow it.
type contents struct {
	dec  *gob.Decoder
	left int64
	rest []byte
}

func (c *contents) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.left <= 0 {
			return 0, io.EOF
		}
		var r record
		if err := c.dec.Decode(&r); err != nil {
			return 0, err
		}
		if r.Verb != content || int64(len(r.Data)) > c.left {
			return 0, errors.New("the content of a file is cut off")
		}
		c.rest, c.left = r.Data, c.left-int64(len(r.Data))
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
