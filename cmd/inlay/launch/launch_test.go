// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cmd/inlay/launch"
	"inlay/resolve/sandbox"
)

// accounts are the files of an image.
func accounts(name string) ([]byte, error) {
	files := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:/bin/false\n",
		"etc/group":  "root:x:0:\nwheel:x:10:root,web\nmail:x:12:web\nweb:x:34:\n",
	}
	if text, ok := files[name]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func none(string) ([]byte, error) { return nil, fs.ErrNotExist }

// TestCommand says what docker run would do.
func TestCommand(t *testing.T) {
	text := func(s string) *string { return &s }
	for _, tt := range []struct {
		name   string
		config v1.Config
		o      launch.Options
		want   string // words, directory and user
	}{
		{"command", v1.Config{Cmd: []string{"a", "b"}}, launch.Options{}, "[a b] / 0:0 [10]"},
		{"entrypoint and command", v1.Config{Entrypoint: []string{"e", "f"}, Cmd: []string{"a"}}, launch.Options{}, "[e f a] / 0:0 [10]"},
		{"another command", v1.Config{Entrypoint: []string{"e"}, Cmd: []string{"a"}}, launch.Options{Command: []string{"x", "y z"}}, "[e x y z] / 0:0 [10]"},
		{"another entrypoint", v1.Config{Entrypoint: []string{"e"}, Cmd: []string{"a"}}, launch.Options{Entrypoint: text("p")}, "[p] / 0:0 [10]"},
		{"both", v1.Config{Entrypoint: []string{"e"}, Cmd: []string{"a"}}, launch.Options{Entrypoint: text("p"), Command: []string{"x"}}, "[p x] / 0:0 [10]"},
		{"no entrypoint", v1.Config{Entrypoint: []string{"e"}, Cmd: []string{"a"}}, launch.Options{Entrypoint: text(""), Command: []string{"x"}}, "[x] / 0:0 [10]"},
		{"directory", v1.Config{Cmd: []string{"a"}, WorkingDir: "/app/"}, launch.Options{}, "[a] /app 0:0 [10]"},
		{"another directory", v1.Config{Cmd: []string{"a"}, WorkingDir: "/app"}, launch.Options{WorkDir: "/x"}, "[a] /x 0:0 [10]"},
		{"user", v1.Config{Cmd: []string{"a"}, User: "web"}, launch.Options{}, "[a] / 33:34 [10 12]"},
		{"user and group", v1.Config{Cmd: []string{"a"}, User: "web:mail"}, launch.Options{}, "[a] / 33:12 []"},
		{"another user", v1.Config{Cmd: []string{"a"}, User: "web"}, launch.Options{User: "1000:50"}, "[a] / 1000:50 []"},
		{"number of a user", v1.Config{Cmd: []string{"a"}, User: "33"}, launch.Options{}, "[a] / 33:34 [10 12]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := launch.Command(tt.config, accounts, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			groups := c.User.Groups
			if groups == nil {
				groups = []int{}
			}
			got := fmt.Sprintf("%v %s %d:%d %v", append([]string{c.Path}, c.Args...), c.Dir, c.User.UID, c.User.GID, groups)
			if got != tt.want {
				t.Errorf("Command = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	lookup := func(name string) (string, bool) { return "from here", name == "HERE" }
	for _, tt := range []struct {
		name   string
		config v1.Config
		o      launch.Options
		want   []string
	}{
		{"none", v1.Config{}, launch.Options{Hostname: "h"}, []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=h", "HOME=/root"}},
		{
			"the image's",
			v1.Config{Env: []string{"A=1", "PATH=/p", "B="}, User: "web"},
			launch.Options{Terminal: true},
			[]string{"PATH=/p", "HOSTNAME=", "TERM=xterm", "A=1", "B=", "HOME=/var/www"},
		},
		{
			"others",
			v1.Config{Env: []string{"PATH=/p", "A=1", "B=2", "C=3", "HOME=/h"}},
			launch.Options{Env: []string{"B=x,y", "D==", "HERE", "C"}, Lookup: lookup},
			[]string{"PATH=/p", "HOSTNAME=", "A=1", "B=x,y", "HOME=/h", "D==", "HERE=from here"},
		},
	} {
		tt.config.Cmd = []string{"a"}
		c, err := launch.Command(tt.config, accounts, tt.o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, c.Env); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestNoAccounts runs an image without files of accounts.
func TestNoAccounts(t *testing.T) {
	c, err := launch.Command(v1.Config{Cmd: []string{"a"}, User: "1000:7"}, none, launch.Options{})
	if err != nil || c.User.UID != 1000 || c.User.GID != 7 {
		t.Errorf("Command = %+v, %v", c.User, err)
	}
}

func TestVolumes(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("d", 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := launch.Command(v1.Config{Cmd: []string{"a"}}, none, launch.Options{Volumes: []string{"./d:/x/", dir + ":/y:ro", ".:/z:rw"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []sandbox.Mount{
		{Target: "/x", Source: filepath.Join(dir, "d"), Writable: true},
		{Target: "/y", Source: dir},
		{Target: "/z", Source: dir, Writable: true},
	}
	if diff := cmp.Diff(want, c.Mounts, cmpopts.IgnoreUnexported(sandbox.Mount{})); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	run := v1.Config{Cmd: []string{"a"}}
	for _, tt := range []struct {
		config v1.Config
		o      launch.Options
		err    string
	}{
		{v1.Config{}, launch.Options{}, "the image has no command to run"},
		{run, launch.Options{User: "nobody"}, `the image has no user "nobody"`},
		{run, launch.Options{User: "web:nobody"}, `the image has no user "web:nobody"`},
		{run, launch.Options{WorkDir: "x"}, `the working directory "x" is not an absolute path`},
		{run, launch.Options{Volumes: []string{"/x"}}, `"/x" is no volume`},
		{run, launch.Options{Volumes: []string{"/:x"}}, `"/:x" is no volume`},
		{run, launch.Options{Volumes: []string{"/:/"}}, `"/:/" is no volume`},
		{run, launch.Options{Volumes: []string{"name:/x"}}, `there are no volumes with names, such as "name"`},
		{run, launch.Options{Volumes: []string{"/tmp:/x:z"}}, `the option "z" of the volume "/tmp:/x:z" is not supported`},
		{run, launch.Options{Volumes: []string{"/not/there:/x"}}, "no such file or directory"},
	} {
		_, err := launch.Command(tt.config, accounts, tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("Command(%+v) = %v, want an error that says %q", tt.o, err, tt.err)
		}
		var h interface{ Hint() string }
		if !errors.Is(err, fs.ErrNotExist) && (!errors.As(err, &h) || h.Hint() == "") {
			t.Errorf("the error %v has no hint", err)
		}
	}
	for _, text := range []string{"", "x", "1:x", "80/udp", "1:2:3:4", "70000", "999.1.1.1:1:2"} {
		if p, err := launch.Listen([]string{text}); err == nil {
			p.Close()
			t.Errorf("Listen(%q) = %v, want an error", text, p.Addresses())
		}
	}
}

// TestPorts carries bytes both ways, and says when one side has ended.
func TestPorts(t *testing.T) {
	p, err := launch.Listen([]string{"127.0.0.1::8080", "127.0.0.1:0:81/tcp", "[::1]:0:82"})
	if err != nil {
		t.Skip("no ports of ::1 here: ", err)
	}
	defer p.Close()
	lines := p.Addresses()
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "→ 127.0.0.1:8080") || !strings.HasPrefix(lines[2], "[::1]:") {
		t.Fatalf("Addresses = %q", lines)
	}
	inside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := inside.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c) // until the other side has ended
			_, _ = c.Write(append([]byte("got "), b...))
			_ = c.Close()
		}
	}()
	done := make(chan struct{})
	asked := make(chan string, 1)
	go func() {
		defer close(done)
		p.Serve(t.Context(), func(ctx context.Context, address string) (net.Conn, error) {
			asked <- address
			return (&net.Dialer{}).DialContext(ctx, "tcp", inside.Addr().String())
		})
	}()
	address, _, _ := strings.Cut(lines[0], " ")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("bytes"))
	_ = c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	if string(b) != "got bytes" || err != nil {
		t.Errorf("through the port came %q, %v", b, err)
	}
	if got := <-asked; got != "127.0.0.1:8080" {
		t.Errorf("the port leads to %s", got)
	}
	_ = inside.Close()
	p.Close()
	<-done
}
