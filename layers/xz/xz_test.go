// SPDX-License-Identifier: Apache-2.0

package xz_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"inlay/layers/xz"
)

// digits is "0123456789", 10,000 times, as xz packs it.
const digits = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4YafAF5dABgMQpJqZ7wO0TM0EjsM6JMBr2ToGtimeNY2kuly1Pav9zJz5xedeATUo7H0" +
	"cquzXZznMxMwCleEkn4ayVT5miz2NMMTgDTLCuCKUQvZ3tgf6T9P/7z7ODuie9s2SQAAAAC+9GSeA9sz8QABeqCNBgAAuHd1ArHEZ/sCAAAAAARZWg=="

// starter starts the xz of this machine, or skips the test.
func starter(t *testing.T) xz.Start {
	t.Helper()
	path, err := exec.LookPath("xz")
	if err != nil {
		t.Skipf("this machine has no xz: %v", err)
	}
	return func(ctx context.Context, c xz.Call) (func() error, error) {
		cmd := exec.CommandContext(ctx, path, c.Args...)
		cmd.Env = []string{}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
		return cmd.Wait, cmd.Start()
	}
}

// pack returns what xz makes of plain.
func pack(t *testing.T, plain []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "xz", append([]string{"--compress", "--stdout", "-1"}, args...)...)
	cmd.Env, cmd.Stdin = []string{}, bytes.NewReader(plain)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sourceOf(b []byte) xz.Source {
	return xz.Source{Open: func() io.Reader { return bytes.NewReader(b) }, Size: int64(len(b))}
}

// decode returns all that d makes of b.
func decode(ctx context.Context, d *xz.Decoder, b []byte) ([]byte, error) {
	r, err := d.NewReader(ctx, sourceOf(b))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func inFull(b, plain []byte, errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if !bytes.Equal(b, plain) {
		return fmt.Errorf("%d bytes, not the %d that were packed", len(b), len(plain))
	}
	return nil
}

func samples(t *testing.T) (text, noise []byte) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	noise = make([]byte, 1<<18)
	_, _ = random.Read(noise)
	for i := range 40_000 {
		text = fmt.Appendf(text, "Package: p%d, %d\n", i, random.Uint64()%1000)
	}
	return text, noise
}

// TestBoth decodes the same files with and without the program.
func TestBoth(t *testing.T) {
	with, without := &xz.Decoder{Start: starter(t), Least: 1}, &xz.Decoder{}
	text, noise := samples(t)
	all := bytes.Join([][]byte{text, noise}, nil)
	for _, tt := range []struct {
		name   string
		packed []byte
		plain  []byte
	}{
		{"nothing", pack(t, nil), nil},
		{"text", pack(t, text), text},
		{"noise", pack(t, noise, "-0"), noise},
		{"blocks", pack(t, text, "--block-size=100000", "--threads=2"), text},
		{"the largest window", pack(t, text, "-9"), text},
		{"no check", pack(t, text, "--check=none"), text},
		{"CRC32", pack(t, text, "--check=crc32"), text},
		{"SHA-256", pack(t, text, "--check=sha256"), text},
		{"filters", pack(t, text, "--x86", "--delta=dist=4", "--lzma2=preset=1"), text},
		{"one after the other", append(pack(t, text), pack(t, noise)...), all},
		{"padding between", append(append(pack(t, text), 0, 0, 0, 0), pack(t, noise)...), all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, d := range map[string]*xz.Decoder{"with": with, "without": without, "nil": nil} {
				got, err := decode(t.Context(), d, tt.packed)
				if err := inFull(got, tt.plain, err); err != nil {
					t.Errorf("decoding it %s the program: %v", name, err)
				}
			}
			r, err := with.NewReader(t.Context(), sourceOf(tt.packed))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := iotest.TestReader(iotest.OneByteReader(io.LimitReader(r, 1000)), tt.plain[:min(len(tt.plain), 1000)]); err != nil {
				t.Errorf("reading it in small pieces: %v", err)
			}
		})
	}
}

// TestDamaged reads files that are no good: the program doesn't change the error.
func TestDamaged(t *testing.T) {
	with, without := &xz.Decoder{Start: starter(t), Least: 1}, &xz.Decoder{}
	text, _ := samples(t)
	whole := pack(t, text)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	sum := bytes.Clone(whole)
	sum[len(sum)-40] ^= 1
	for _, tt := range []struct {
		name   string
		packed []byte
	}{
		{"cut off", whole[:len(whole)/2]},
		{"cut off at the end", whole[:len(whole)-4]},
		{"a flipped bit", flipped},
		{"a flipped bit at the end", sum},
		{"something behind it", append(bytes.Clone(whole), "garbage!"...)},
		{"padding of an odd size", append(bytes.Clone(whole), 0, 0, 0)},
		{"no xz", text[:5000]},
		{"an lzma", pack(t, text, "--format=lzma")},
		{"a window that is too large", pack(t, text, "--lzma2=dict=128MiB")},
	} {
		_, want := decode(t.Context(), without, tt.packed)
		_, got := decode(t.Context(), with, tt.packed)
		if want == nil || got == nil || got.Error() != want.Error() {
			t.Errorf("%s: with the program the error is %v, without %v", tt.name, got, want)
		}
	}
	if got, err := decode(t.Context(), with, whole); inFull(got, text, err) != nil {
		t.Errorf("a good file after them: %v", err)
	}
}

// TestEnded ends a program that isn't read to its end.
func TestEnded(t *testing.T) {
	text, _ := samples(t)
	real, packed := starter(t), pack(t, bytes.Repeat(text, 5))
	ended := make(chan error, 1)
	d := &xz.Decoder{Least: 1, Start: func(ctx context.Context, c xz.Call) (func() error, error) {
		wait, err := real(ctx, c)
		return func() error { err := wait(); ended <- err; return err }, err
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, how := range []string{"Close", "cancel"} {
		r, err := d.NewReader(ctx, sourceOf(packed))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if how == "cancel" {
			cancel()
			if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
				t.Errorf("reading after cancel = %v, want context.Canceled", err)
			}
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close after %s = %v", how, err)
		}
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("after %s the program came to its end, with 4 MB to write", how)
			}
		default:
			t.Errorf("after %s nobody waited for the program", how)
		}
		if n, err := r.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("Read after Close = %d, %v", n, err)
		}
	}
}

// play returns what starts a program that writes text and ends with err.
func play(started *int, text string, err error) xz.Start {
	return func(_ context.Context, c xz.Call) (func() error, error) {
		*started++
		_, _ = io.WriteString(c.Stdout, text)
		_, _ = io.WriteString(c.Stderr, "xz: no memory")
		return func() error { return err }, nil
	}
}

// TestBroken has programs that don't do what xz does.
func TestBroken(t *testing.T) {
	packed, err := base64.StdEncoding.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	plain := []byte(strings.Repeat("0123456789", 10_000))
	broken := errors.New("signal: killed")
	started := 0
	for _, tt := range []struct {
		name  string
		start xz.Start
		want  string // of the error; "": the content
	}{
		{"that can't be started", func(context.Context, xz.Call) (func() error, error) { started++; return nil, broken }, ""},
		{"that fails", play(&started, "", broken), ""},
		{"that fails in the middle", play(&started, string(plain[:12_345]), broken), ""},
		{"that fails at the end", play(&started, string(plain[:50_000]), broken), ""},
		{"that lies", play(&started, "0123456788", broken), "gave something else than the file holds, and ended: signal: killed\nxz: no memory"},
		{"that writes too much", play(&started, string(plain[:50_000])+"x", broken), "gave something else"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &xz.Decoder{Start: tt.start, Least: 1}
			started = 0
			for range 2 {
				got, err := decode(t.Context(), d, packed)
				var bad *xz.ProgramError
				switch {
				case tt.want == "":
					if err := inFull(got, plain, err); err != nil {
						t.Error(err)
					}
				case !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(bad.Hint(), "INLAY_XZ=off"):
					t.Errorf("decoding = %v, want a *ProgramError with %q", err, tt.want)
				}
			}
			if want := map[bool]int{true: 2, false: 1}[tt.want != "" || strings.Contains(tt.name, "started")]; started != want {
				t.Errorf("it was started %d times, want %d", started, want)
			}
		})
	}
}

// TestSmall decodes small files in this process.
func TestSmall(t *testing.T) {
	packed, _ := base64.StdEncoding.DecodeString(digits)
	started := 0
	d := &xz.Decoder{Start: play(&started, "", nil)}
	if b, err := decode(t.Context(), d, packed); len(b) != 100_000 || err != nil || started > 0 {
		t.Errorf("decoding %d bytes = %d bytes, %v, and a program was started %d times", len(packed), len(b), err, started)
	}
}

// TestSourceFails passes errors of reading on.
func TestSourceFails(t *testing.T) {
	text, _ := samples(t)
	start, packed := starter(t), pack(t, text)
	unreadable := errors.New("the disk is gone")
	for _, s := range []xz.Start{nil, start} {
		r, err := (&xz.Decoder{Start: s, Least: 1}).NewReader(t.Context(), xz.Source{
			Open: func() io.Reader {
				return io.MultiReader(bytes.NewReader(packed[:50_000]), iotest.ErrReader(unreadable))
			},
			Size: int64(len(packed)),
		})
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		if !errors.Is(err, unreadable) {
			t.Errorf("reading = %v, want %v", err, unreadable)
		}
	}
}
