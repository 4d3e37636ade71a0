// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"io"
	"log"
	"net/http/httptest"
	"os"
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
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"inlay": main})
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("INLAY_CACHE_DIR", e.WorkDir+"/.cache")
			server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
			e.Defer(server.Close)
			e.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"parent": parentCommand, "sanitize": sanitizeCommand},
	})
}

// parentCommand makes an OCI layout with a parent of a few files:
// "parent DIR PATH[=CONTENT]...".
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
		h := &tar.Header{Name: path, Mode: 0o644, Size: int64(len(body)), ModTime: time.Unix(0, 0)}
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
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
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
	for _, name := range []string{"WORK", "REGISTRY"} {
		text = strings.ReplaceAll(text, ts.Getenv(name), "$"+name)
	}
	name := ts.MkAbs(args[0])
	if args[0] == "stdout" || args[0] == "stderr" {
		name = ts.MkAbs(args[0] + ".txt")
	}
	ts.Check(os.WriteFile(name, []byte(text), 0o644))
}
