// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/resolve/plan"
)

const (
	kills      = 100
	killAtOnce = 4
	killRounds = 60 // at most, each with new wheels, so that there is something to make
)

// TestKill kills a hundred builds (with -short, ten) at random points of their
// lives, four at a time, on one cache and one layout: two that build a plan, and two that plan
// the source anew. Each later build succeeds, with the digest that an
// undisturbed one on a cache of its own has; the layout is whole at any time,
// the cache in the end.
func TestKill(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	address := serve(t, s.index)
	killed, want := 0, kills
	if testing.Short() {
		want = kills / 10
	}
	for round := 0; killed < want; round++ {
		if round == killRounds {
			t.Fatalf("of %d builds only %d were killed before they ended: the test proves little", killRounds*killAtOnce, killed)
		}
		write(t, filepath.Join(s.dir, "src", "main.py"), fmt.Sprintf("print(%d)\n", round))
		file := s.plan(t, s.killWheels(t, address, round)...)
		args := []string{"build", "-q", "--plan", file, "src", "-o"}
		begun := time.Now()
		alone := s.command(t.Context(), append(args, "oci:"+filepath.Join(t.TempDir(), "image"), "--cache-dir", t.TempDir())...)
		undisturbed := finish(alone)
		if undisturbed.err != nil {
			t.Fatalf("an undisturbed build: %v\n%s", undisturbed.err, undisturbed.stderr)
		}
		killed += s.killSome(t, time.Since(begun)*3/2, append(args, "oci:image")) // four at once take longer than one
		checkLayout(t, filepath.Join(s.dir, "image"))
		got := s.run(t, append(args, "oci:image")...)
		if got.err != nil || digestOf(t, got.stdout) != digestOf(t, undisturbed.stdout) {
			t.Fatalf("round %d: after %d killed builds: %v, %s%s, want the digest of %s", round, killed, got.err, got.stdout, got.stderr, undisturbed.stdout)
		}
		checkLayout(t, filepath.Join(s.dir, "image"))
	}
	t.Logf("%d builds were killed", killed)
	s.verify(t)
}

// killWheels returns wheels that no other round has, in a layer of many and
// layers of one.
func (s *scene) killWheels(t *testing.T, address string, round int) (groups [][]plan.Wheel) {
	t.Helper()
	noise := make([]byte, 64<<10)
	rand.NewChaCha8([32]byte{byte(round)}).Read(noise)
	var many []plan.Wheel
	for i := range 6 {
		name := fmt.Sprintf("w%02d%d", round, i)
		w := s.wheel(t, address, name, name+"/a.py="+strings.Repeat("x = 1\n", 5000), fmt.Sprintf("%s/b.so=%x", name, noise), name+"/c.py=")
		if i < 2 {
			groups = append(groups, []plan.Wheel{w})
		} else {
			many = append(many, w)
		}
	}
	return append(groups, many)
}

// killSome starts four builds at once, kills each at a random time before end,
// and says how many of them it ended.
func (s *scene) killSome(t *testing.T, end time.Duration, args []string) (killed int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range killAtOnce {
		args := args
		if i%2 == 1 {
			args = []string{"build", "-q", "--parent-image", "oci:parent", "src", "-o", "oci:image:source"}
		}
		wg.Go(func() {
			ctx, kill := context.WithTimeout(t.Context(), rand.N(end))
			defer kill()
			r := finish(s.command(ctx, args...)) // which is killed when its context ends
			var exit *exec.ExitError
			switch {
			case r.err == nil:
			case ctx.Err() != nil && (!errors.As(r.err, &exit) || exit.ExitCode() < 0):
				mu.Lock()
				defer mu.Unlock()
				killed++
			default:
				t.Errorf("a build beside killed ones: %v\n%s", r.err, r.stderr)
			}
		})
	}
	wg.Wait()
	return killed
}

// checkLayout checks that what a layout shows, if anything, is whole.
func checkLayout(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "index.json")); errors.Is(err, fs.ErrNotExist) {
		return
	}
	ix, err := layout.ImageIndexFromPath(dir)
	if err == nil {
		err = validate.Index(ix)
	}
	if err != nil {
		t.Errorf("the layout is not whole: %v", err)
	}
}
