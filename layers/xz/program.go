// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
)

// Start starts the program xz, with an empty environment: XZ_OPT would change
// what it does. It returns what waits for its end; the error is nil if its status
// is 0. When ctx ends the program is killed.
type Start func(ctx context.Context, c Call) (wait func() error, err error)

// A Call is how xz is to be run.
type Call struct {
	Args   []string
	Stdin  io.Reader
	Stdout *os.File
	Stderr io.Writer
}

// arguments are those of a program that may take the memory for a window. More
// than one thread would take more of it.
func arguments(window int64) []string {
	const besides = 4 << 20
	return []string{
		"--decompress", "--stdout", "--format=xz", "--threads=1",
		"--memlimit-decompress=" + strconv.FormatInt(max(window, pooledWindow)+besides, 10),
	}
}

// A ProgramError reports a program that isn't what it is called.
type ProgramError struct {
	Err error // how it ended and what it said; may be nil
}

func (e *ProgramError) Error() string {
	if e.Err == nil {
		return "the program xz gave something else than the file holds"
	}
	return fmt.Sprintf("the program xz gave something else than the file holds, and ended: %v", e.Err)
}

// Unwrap returns how the program ended.
func (e *ProgramError) Unwrap() error { return e.Err }

// Hint says how to do without the program.
func (e *ProgramError) Hint() string { return "repair the xz of your PATH, or set INLAY_XZ=off" }

// pipeSize is how much is read of a program at a time, in bytes: what a pipe
// holds.
const pipeSize = 64 << 10

// A program is an xz that runs, and what takes its place where it fails.
type program struct {
	d      *Decoder
	ctx    context.Context //nolint:containedctx // a reader has no other way to be cancelled
	src    Source
	cancel context.CancelFunc
	out    *os.File
	from   *bufio.Reader
	wait   func() error // nil: it was waited for
	said   saying
	given  int64  // bytes
	sum    uint32 // of them
	here   io.ReadCloser
	err    error // for good
}

// begin starts the program for s.
func (d *Decoder) begin(ctx context.Context, s Source) (*program, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // the program has its own
	p := &program{d: d, ctx: ctx, src: s, out: out, from: bufio.NewReaderSize(out, pipeSize)}
	running, cancel := context.WithCancel(ctx)
	p.cancel = cancel
	p.wait, err = d.Start(running, Call{Args: arguments(s.Window), Stdin: s.Open(), Stdout: in, Stderr: &p.said})
	if err != nil {
		p.wait = nil
		p.end()
		return nil, err
	}
	return p, nil
}

// Read implements io.Reader.
func (p *program) Read(b []byte) (n int, err error) {
	switch {
	case p.err != nil:
		return 0, p.err
	case p.here != nil:
		return p.here.Read(b)
	case len(b) == 0:
		return 0, nil
	}
	n, err = p.from.Read(b)
	p.given += int64(n)
	p.sum = crc32.Update(p.sum, crc32.IEEETable, b[:n])
	if n > 0 || err == nil {
		return n, nil // an error comes again
	}
	if p.err = p.finish(err); p.err != nil {
		return 0, p.err
	}
	return p.here.Read(b)
}

// finish ends the program, whose output ended with err. Where that wasn't all
// there is, the file is decoded here, up to what was given.
func (p *program) finish(err error) error {
	if err != io.EOF {
		p.cancel() // its output can't be read
	}
	failed := p.wait()
	p.wait = nil
	p.end()
	if err == io.EOF && failed == nil {
		return io.EOF
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if p.here, err = here(p.src); err != nil {
		return err
	}
	sum := crc32.NewIEEE()
	if _, err := io.CopyN(sum, p.here, p.given); err != nil && err != io.EOF {
		return err
	} else if err == io.EOF || sum.Sum32() != p.sum {
		return &ProgramError{errors.Join(failed, p.said.error())}
	}
	p.here = &judged{p.here, p.d}
	return nil
}

// end kills the program if it still runs and waits for it.
func (p *program) end() {
	p.cancel()
	_ = p.out.Close() // it was only read
	if p.wait != nil {
		_ = p.wait() // how it ends counts for nothing now
		p.wait = nil
	}
}

// Close ends the program, if it runs.
func (p *program) Close() error {
	p.end()
	if p.err == nil {
		p.err = os.ErrClosed
	}
	if p.here != nil {
		err := p.here.Close()
		p.here = nil
		return err
	}
	return nil
}

// A judged reader goes on where the program failed. If it comes to the end, the
// file was good and it is the program that wasn't: it isn't started again.
type judged struct {
	io.ReadCloser
	d *Decoder
}

func (j *judged) Read(b []byte) (int, error) {
	n, err := j.ReadCloser.Read(b)
	if err == io.EOF {
		j.d.broken.Store(true)
	}
	return n, err
}

// A saying keeps the beginning of what a program says.
type saying struct{ strings.Builder }

const mostSaid = 1 << 10

// Write implements io.Writer. It never fails, for the program may have more to
// say.
func (s *saying) Write(p []byte) (int, error) {
	s.Builder.Write(p[:min(len(p), mostSaid-s.Len())])
	return len(p), nil
}

// error is what was said, nil if that is nothing.
func (s *saying) error() error {
	if text := strings.TrimSpace(strings.ToValidUTF8(s.String(), "?")); text != "" {
		return errors.New(text)
	}
	return nil
}
