// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Ports are servers of an image that this machine answers for.
type Ports struct {
	listeners []net.Listener
	inside    []string // "127.0.0.1:PORT"
}

// Listen opens the ports that texts name: "[[ADDRESS:]PORT:]INSIDE[/tcp]". The
// address is all of this machine, and the port one that is free, if none is
// given. The caller closes them.
func Listen(texts []string) (*Ports, error) {
	p := &Ports{}
	for _, text := range texts {
		address, inside, err := port(text)
		if err != nil {
			p.Close()
			return nil, err
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			p.Close()
			return nil, &RequestError{fmt.Sprintf("the port of --publish %s can't be opened: %v", text, errors.Unwrap(err)), "choose another: --publish PORT:" + inside}
		}
		p.listeners, p.inside = append(p.listeners, l), append(p.inside, net.JoinHostPort("127.0.0.1", inside))
	}
	return p, nil
}

// port reads one of Listen's texts.
func port(text string) (address, inside string, err error) {
	rest, protocol, _ := strings.Cut(text, "/")
	host, published := "", "0"
	inside = rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		published, inside = rest[:i], rest[i+1:]
		if j := strings.LastIndexByte(published, ':'); j >= 0 {
			host, published = strings.Trim(published[:j], "[]"), published[j+1:]
		}
	}
	for _, n := range []string{published, inside} {
		if _, err := strconv.ParseUint(n, 10, 16); err != nil {
			return "", "", &RequestError{fmt.Sprintf("%q names no ports", text), "write --publish PORT:INSIDE, or ADDRESS:PORT:INSIDE"}
		}
	}
	if protocol != "" && protocol != "tcp" {
		return "", "", &RequestError{fmt.Sprintf("--publish %s: only TCP can be published", text), "write it without /" + protocol}
	}
	return net.JoinHostPort(host, published), inside, nil
}

// Addresses returns a line for each port: where it is, and what answers there.
func (p *Ports) Addresses() []string {
	var lines []string
	for i, l := range p.listeners {
		lines = append(lines, fmt.Sprintf("%s → %s", l.Addr(), p.inside[i]))
	}
	return lines
}

// Serve connects those who come to the servers inside, with dial, until the
// ports are closed, and returns when nobody is left.
func (p *Ports) Serve(ctx context.Context, dial func(ctx context.Context, address string) (net.Conn, error)) {
	var all sync.WaitGroup
	for i, l := range p.listeners {
		all.Go(func() {
			accept(l, func(c net.Conn) {
				all.Go(func() { forward(ctx, c, func() (net.Conn, error) { return dial(ctx, p.inside[i]) }) })
			})
		})
	}
	all.Wait()
}

// accept hands over those who come to l until it is closed.
func accept(l net.Listener, to func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		to(c)
	}
}

// Close closes the ports. It can be called several times.
func (p *Ports) Close() {
	for _, l := range p.listeners {
		_ = l.Close() // nothing is to be done about it
	}
}

// forward carries bytes both ways until both sides have ended, or ctx.
func forward(ctx context.Context, outer net.Conn, dial func() (net.Conn, error)) {
	defer outer.Close() //nolint:errcheck // at the end
	inner, err := dial()
	if err != nil {
		return // nobody listens there: the caller sees the connection end
	}
	defer inner.Close() //nolint:errcheck // at the end
	stop := context.AfterFunc(ctx, func() { _, _ = outer.Close(), inner.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { carry(inner, outer) })
	both.Go(func() { carry(outer, inner) })
	both.Wait()
}

// carry copies from one to the other, and passes on that it has ended.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok {
		_, _ = to.Close(), from.Close()
		return
	}
	_ = half.CloseWrite() // the other side may have gone
}
