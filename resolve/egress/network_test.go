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
