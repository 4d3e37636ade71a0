// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"inlay/resolve/parent/parenttest"
	"inlay/resolve/sandbox"
	"inlay/resolve/sandbox/sandboxtest"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

// atOnce is how many tests run at once, unless -parallel says so: most of them
// wait, for a server or for the time to ask it again.
const atOnce = "16"

func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(insideMain(os.Args[1:]))
	}
	if filepath.Base(os.Args[0]) == "uv" {
		waitingUV(os.Args[1:])
		return
	}
	sandbox.Init(tasks())
	sandboxtest.Init()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"inlay": mainWithHints})
}

// mainWithHints is main, and adds to the file $ERRORS what an error that was
// reported says. Without that file it is main itself: what goes to a file too
// is no terminal.
func mainWithHints() {
	if os.Getenv("ERRORS") == "" {
		os.Exit(process(os.Stderr))
	}
	var said bytes.Buffer
	status := process(io.MultiWriter(os.Stderr, &said))
	if i := strings.LastIndex("\n"+said.String(), "\nerror: "); i >= 0 && (status == 1 || status == 2) {
		f, err := os.OpenFile(os.Getenv("ERRORS"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(f, "%s\x00", said.String()[i:])
		f.Close()
	}
	os.Exit(status)
}

// doable tells whether a text ends in something one can do: a name that was
// probably meant, or what to write, run or change.
var doable = regexp.MustCompile(`did you mean .+\?|\b(add|allow|build|change|check|close|copy|fetch|free|give|indent|keep|leave|log in|make|name|push|quote|remove|require|resolve|run|save|see|set|start|unset|use|wait|write) ?\S`)

// checkHints fails for every error in the file that doesn't end in something
// one can do.
func checkHints(t *testing.T, file string) {
	b, err := os.ReadFile(file)
	if chosen := flag.Lookup("test.run").Value.String(); errors.Is(err, fs.ErrNotExist) && chosen != "" {
		return // chosen were scripts without errors
	}
	if err != nil {
		t.Fatalf("no script reports an error: %v", err)
	}
	for text := range strings.SplitSeq(strings.TrimSuffix(string(b), "\x00"), "\x00") {
		problem, hint, found := strings.Cut(text, "\nhint: ")
		if !found && !strings.Contains(problem, ": did you mean ") || found && !doable.MatchString(hint) {
			t.Errorf("this error doesn't end in something one can do:\n%s", text)
		}
	}
}

func TestScript(t *testing.T) { testscript.Run(t, scripts(t)) }

// scripts says how the scripts are run; what errors they cause is checked at
// the end.
func scripts(t *testing.T) testscript.Params {
	said := filepath.Join(t.TempDir(), "errors")
	t.Cleanup(func() { checkHints(t, said) })
	return testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ERRORS", said)
			e.Setenv("INLAY_CACHE_DIR", e.WorkDir+"/.cache")
			bin, _, _ := strings.Cut(e.Getenv("PATH"), ":") // holds inlay and nothing else
			e.Setenv("BIN", bin)
			server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
			e.Defer(server.Close)
			e.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
			files := httptest.NewServer(http.FileServer(http.Dir(e.WorkDir)))
			e.Defer(files.Close)
			e.Setenv("FILES", files.URL)
			if err := servePrivate(e); err != nil {
				return err
			}
			return newArchiveKey(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"archive": archiveCommand, "debian": debianCommand, "parent": parentCommand, "platforms": platformsCommand, "sanitize": sanitizeCommand,
		},
	}
}

// servePrivate serves the script's directory with TLS to the user ann, whose
// password is s3cret-of-ann: PRIVATE is the host, and private.pem what signed for
// it.
func servePrivate(e *testscript.Env) error {
	files := http.FileServer(http.Dir(e.WorkDir))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ann" || password != "s3cret-of-ann" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	e.Defer(server.Close)
	e.Setenv("PRIVATE", server.Listener.Addr().String())
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return os.WriteFile(filepath.Join(e.WorkDir, "private.pem"), cert, 0o600)
}

// TestE2ECompletion runs the script about the tab key with every shell, of which
// the hermetic tests take those that are here.
func TestE2ECompletion(t *testing.T) {
	e2e(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if _, err := exec.LookPath(shell); err != nil {
			t.Error(err)
		}
	}
	p := scripts(t)
	p.Dir, p.Files = "", []string{"testdata/script/completion_tab.txtar"}
	testscript.Run(t, p)
}

// parentCommand makes an OCI layout with a parent of a few files:
// "parent DIR PATH[=CONTENT]...". PATH=@VERSION is a Python of that version.
func parentCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: parent DIR PATH[=CONTENT]...")
	}
	ts.Check(writeParent(ts.MkAbs(args[0]), args[1:]))
}

func writeParent(dir string, files []string) error {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range files {
		path, body, _ := strings.Cut(f, "=")
		body = strings.ReplaceAll(body, `\n`, "\n")
		h := &tar.Header{Name: path, Mode: 0o644, ModTime: time.Unix(0, 0)}
		if version, ok := strings.CutPrefix(body, "@"); ok {
			body, h.Mode = parenttest.ELF{Machine: 62, Interp: "/lib64/ld-linux-x86-64.so.2", Text: "\x00" + version + "\x00"}.String(), 0o755
		}
		h.Size = int64(len(body))
		if strings.HasSuffix(path, "/") {
			h.Mode, h.Typeflag = 0o755, tar.TypeDir
		}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(tw, body); err != nil {
			return err
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return writeParentOf(dir, buf.Bytes())
}

// writeParentOf makes an OCI layout with a parent of one layer, compressed or
// not.
func writeParentOf(dir string, blob []byte) error {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob)), nil })
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1), layer)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config = v1.Config{Env: []string{"PATH=/usr/bin:/bin"}, Cmd: []string{"sh"}}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return path.ReplaceImage(img, match.Name("latest"), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "latest"}))
}

// sanitizeCommand replaces what changes from run to run in a file: "sanitize
// FILE" writes $WORK and $REGISTRY for their values.
func sanitizeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sanitize FILE")
	}
	text := ts.ReadFile(args[0])
	for _, name := range []string{"WORK", "REGISTRY", "FILES"} {
		text = strings.ReplaceAll(text, ts.Getenv(name), "$"+name)
	}
	name := ts.MkAbs(args[0])
	if args[0] == "stdout" || args[0] == "stderr" {
		name = ts.MkAbs(args[0] + ".txt")
	}
	ts.Check(os.WriteFile(name, []byte(text), 0o644))
}
