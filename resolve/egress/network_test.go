// SPDX-License-Identifier: Apache-2.0

package egress_test

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"inlay/resolve/egress"
	"inlay/resolve/index"
)

// Programs in a sandbox are told of the indexes in their order, and of the proxy,
// but of no user and no password.
func TestOpen(t *testing.T) {
	ix := newIndexServer(t)
	ix.content["/simple/six/"] = "six"
	set, err := index.Gather(t.Context(), index.Options{
		Default: strings.Replace(ix.URL, "://", "://ann:s3cr3t%2Fp%40ss@", 1) + "/simple",
		Extra:   []string{"corp=https://bob:hush@corp.example.com/simple"},
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := egress.Open(t.Context(), egress.Options{Hosts: []string{"files.example.com"}}, set, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for _, want := range []string{
		"UV_DEFAULT_INDEX=http://127.0.0.1:4001/https/" + host(ix.Server) + "/simple",
		"UV_INDEX=corp=http://127.0.0.1:4000/https/corp.example.com/simple",
		"PIP_INDEX_URL=http://127.0.0.1:4001/https/" + host(ix.Server) + "/simple",
		"PIP_EXTRA_INDEX_URL=http://127.0.0.1:4000/https/corp.example.com/simple",
		"HTTPS_PROXY=http://127.0.0.1:3128", "NO_PROXY=127.0.0.1,localhost",
	} {
		if !slices.Contains(n.Env, want) {
			t.Errorf("the environment lacks %s: %q", want, n.Env)
		}
	}
	for _, secret := range []string{"ann", "bob", "hush", "s3cr3t"} {
		if all := strings.Join(n.Env, " "); strings.Contains(all, secret) {
			t.Errorf("the environment has %q: %s", secret, all)
		}
	}
	var inside []string
	for _, p := range n.Ports {
		inside = append(inside, p.Inside)
	}
	if want := []string{"127.0.0.1:3128", "127.0.0.1:4000", "127.0.0.1:4001"}; !slices.Equal(inside, want) {
		t.Fatalf("the ports are %q, want %q", inside, want)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { n.Ports[2].Serve(l); close(done) }()
	if got := get(http.DefaultClient, "http://"+l.Addr().String()+"/https/"+host(ix.Server)+"/simple/six/"); got != "200 six" {
		t.Errorf("the index says %q", got)
	}
	_ = l.Close() // as the sandbox does when the programs have ended
	<-done
}

// A file that the user names by its URL is reached, wherever that redirects to;
// user, password and the tokens of its query stay outside.
func TestFile(t *testing.T) {
	ix := newIndexServer(t)
	ix.content["/own/app-1.0.whl"] = "-> " + ix.files.URL + "/packages/app-1.0.whl"
	named := strings.Replace(ix.URL, "://", "://ann:s3cr3t%2Fp%40ss@", 1) + "/own/app-1.0.whl"
	set := (*index.Set)(nil).WithFiles(named)
	n, err := egress.Open(t.Context(), egress.Options{Hosts: []string{host(ix.files)}}, set, "")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	in, err := n.File(named + "?signature=hush#sha256=00")
	if want := "http://127.0.0.1:4000/https/" + host(ix.Server) + "/own/app-1.0.whl#sha256=00"; err != nil || in != want {
		t.Fatalf("File = %q, %v, want %q", in, err, want)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { n.Ports[len(n.Ports)-1].Serve(l); close(done) }()
	at := strings.Replace(in, "127.0.0.1:4000", l.Addr().String(), 1)
	if got := get(http.DefaultClient, at); got != "200 content of /packages/app-1.0.whl" {
		t.Errorf("the file = %q", got)
	}
	if asked := strings.Join(ix.asked, " "); !strings.Contains(asked, "signature=hush") {
		t.Errorf("the server was asked %q, want the token", asked)
	}
	if got := get(http.DefaultClient, strings.Replace(at, "app-1.0", "app-2.0", 1)); !strings.HasPrefix(got, "403 ") {
		t.Errorf("another file = %q, want 403", got)
	}
	_ = l.Close()
	<-done
	const text = "see http://127.0.0.1:4000/https/h%3A8443/a/b, http://127.0.0.1:4001/http/h/c and http://127.0.0.1:8080/https/h/d"
	if got, want := egress.Outside(text), "see https://h:8443/a/b, http://h/c and http://127.0.0.1:8080/https/h/d"; got != want {
		t.Errorf("Outside(%q) = %q, want %q", text, got, want)
	}
}
