// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the two ends of a socket say to each other.
const (
	sayTrees    = "trees"    // out: mounts to be used, as descriptors
	sayGo       = "go"       // out: the configuration, as a descriptor
	saySignal   = "signal"   // out: N is to be sent to the command
	sayDial     = "dial"     // out: connect to Text, for the request N
	sayConn     = "conn"     // in: the connection for the request N, or in Text why there is none
	sayListener = "listener" // in: the listener of port N
	sayTerminal = "terminal" // in: the terminal's other end
	sayReady    = "ready"    // in: all is set up; Text says what is odd
	sayFailed   = "failed"   // in: Text says why, N is the errno that it comes from
	sayStart    = "start"    // in: the command can't be executed: N is the errno
	sayLimit    = "limit"    // in: Text is the limit that was passed
	sayLost     = "lost"     // in: Text says why what the command did is not to be had
	sayEnded    = "ended"    // in: the command ended: exit status N, signal Signal
)

// most is how long a message is at most, and mostFDs how many descriptors go
// with one (SCM_MAX_FD is 253).
const (
	most    = 32 << 10
	mostFDs = 200
)

type message struct {
	Kind   string
	N      int
	Signal int
	Text   string
}

// A socket is one end of a pair that keeps messages apart.
type socket struct {
	fd   int
	lock sync.Mutex
}

func (s *socket) send(m message, fds ...int) error {
	if len(m.Text) > most/8 {
		m.Text = m.Text[:most/8]
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	return unix.Sendmsg(s.fd, b, rights, nil, unix.MSG_NOSIGNAL)
}

// close closes the socket, once nobody receives any more. What is sent later
// fails, and doesn't go to whatever has its descriptor then.
func (s *socket) close() {
	s.lock.Lock()
	defer s.lock.Unlock()
	_ = unix.Close(s.fd)
	s.fd = -1
}

// receive waits for a message. The error is io.EOF's like when the other end is
// gone.
func (s *socket) receive() (message, []int, error) {
	b, oob := make([]byte, most), make([]byte, unix.CmsgSpace(4*mostFDs))
	var n, on int
	var err error
	for {
		n, on, _, _, err = unix.Recvmsg(s.fd, b, oob, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil || n == 0 {
		return message{}, nil, errors.Join(errGone, err)
	}
	var fds []int
	if on > 0 {
		cs, err := unix.ParseSocketControlMessage(oob[:on])
		if err != nil {
			return message{}, nil, err
		}
		for i := range cs {
			more, err := unix.ParseUnixRights(&cs[i])
			if err != nil {
				return message{}, nil, err
			}
			fds = append(fds, more...)
		}
	}
	var m message
	return m, fds, json.Unmarshal(b[:n], &m)
}

var errGone = errors.New("the other side is gone")

// A link is this process's end while a command runs.
type link struct {
	socket
	mu      sync.Mutex
	dials   map[int]chan dialed
	last    int
	ended   bool
	started bool
}

type dialed struct {
	fd  int
	err error
}

func (l *link) signal(sig syscall.Signal) error {
	return l.send(message{Kind: saySignal, N: int(sig)})
}

func (l *link) dial(ctx context.Context, address string) (net.Conn, error) {
	answer := make(chan dialed, 1)
	l.mu.Lock()
	l.last++
	n := l.last
	if l.ended {
		l.mu.Unlock()
		return nil, errGone
	}
	l.dials[n] = answer
	l.mu.Unlock()
	if err := l.send(message{Kind: sayDial, N: n, Text: address}); err != nil {
		return nil, fmt.Errorf("dialing %s in the sandbox: %w", address, err)
	}
	select {
	case <-ctx.Done():
		if !l.answer(n, dialed{err: ctx.Err()}) { // it came at the same time
			if d := <-answer; d.err == nil {
				_ = unix.Close(d.fd)
			}
		}
		return nil, ctx.Err()
	case d := <-answer:
		if d.err != nil {
			return nil, fmt.Errorf("dialing %s in the sandbox: %w", address, d.err)
		}
		f := os.NewFile(uintptr(d.fd), address)
		defer f.Close() //nolint:errcheck // nothing depends on it
		return net.FileConn(f)
	}
}

// answer hands an answer to who waits for it, and reports whether somebody does.
func (l *link) answer(n int, d dialed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.dials[n]
	if ok {
		delete(l.dials, n)
		c <- d
	}
	return ok
}

// end tells all who wait that there is nobody to answer.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, c := range l.dials {
		c <- dialed{err: errGone}
	}
	l.dials = nil
}
