// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
)

// proxy answers a request that a program made of its proxy.
func (x *Exit) proxy(w http.ResponseWriter, r *http.Request) {
	target := *r.URL
	if r.Method == http.MethodConnect {
		target.Scheme, target.Host = "https", r.Host
	}
	if !target.IsAbs() || target.Host == "" || r.Method != http.MethodConnect && target.Scheme != "http" {
		http.Error(w, "this is a proxy: want CONNECT, or an http URL", http.StatusBadRequest)
		return
	}
	asked := Request{Host: hostPort(&target), Method: r.Method}
	switch {
	case !x.allows(asked.Host):
		x.note(asked)
		http.Error(w, (&DeniedError{Hosts: []string{asked.Host}}).Error(), http.StatusForbidden)
	case r.Method == http.MethodConnect:
		x.connect(w, r, asked)
	default:
		x.forward(w, r, asked)
	}
}

// forward passes an http request on.
func (x *Exit) forward(w http.ResponseWriter, r *http.Request, asked Request) {
	ctx, cancel := context.WithTimeout(r.Context(), x.time)
	defer cancel()
	(&httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.Out.Host = p.In.URL.Host },
		Transport:     x,
		FlushInterval: -1,
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode == http.StatusSwitchingProtocols {
				return errors.New("the protocol can't be changed") // nothing would be counted
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { x.fail(w, asked, err) },
		ErrorLog:     quiet,
	}).ServeHTTP(w, r.WithContext(ctx))
}

// fail answers a request that can't be met, and records why.
func (x *Exit) fail(w http.ResponseWriter, asked Request, err error) {
	var private *PrivateError
	if errors.As(err, &private) {
		x.refuse(asked, private)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	x.miss(asked.Host, err)
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// connect joins a program with the host that it asked for.
func (x *Exit) connect(w http.ResponseWriter, r *http.Request, asked Request) {
	ctx, cancel := context.WithTimeout(r.Context(), x.time)
	defer cancel()
	outer, err := x.tunnel(ctx, asked.Host)
	if err != nil {
		x.fail(w, asked, err)
		return
	}
	defer func() { _ = outer.Close() }()
	x.reach(asked.Host)
	asked.Allowed = true
	count := x.note(asked)
	inner, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = inner.Close() }()
	defer context.AfterFunc(ctx, func() { _ = inner.Close(); _ = outer.Close() })()
	if _, err := io.WriteString(inner, "HTTP/1.1 200 Connection Established\r\n\r\n"); err != nil {
		return
	}
	early, _ := buffered.Peek(buffered.Reader.Buffered()) // what is there can be had
	if _, err := outer.Write(early); err != nil {
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		x.move(outer, inner, count)
	}()
	x.move(inner, outer, count)
	<-sent
}

// chunk is how much is moved before it is counted.
const chunk = 1 << 20

// move copies from one connection to another until either ends or the bytes are
// used up, and tells the other that no more comes. The kernel copies: what moves
// does not pass through this program.
func (x *Exit) move(to, from net.Conn, count *atomic.Int64) {
	for {
		n, err := io.CopyN(to, from, chunk)
		count.Add(n)
		if x.moved.Add(n) > x.bytes {
			_ = to.Close()
			_ = from.Close()
			return
		}
		if err != nil {
			break
		}
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		_ = to.Close()
	}
}

// counted returns body, whose bytes are counted.
func (x *Exit) counted(body io.ReadCloser, count *atomic.Int64) io.ReadCloser {
	return &countedBody{body, x, count}
}

type countedBody struct {
	io.ReadCloser
	exit  *Exit
	count *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count.Add(int64(n))
	if b.exit.moved.Add(int64(n)) > b.exit.bytes {
		return n, &LimitError{b.exit.bytes}
	}
	return n, err
}
