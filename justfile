# Recipes for working on inlay. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

export CGO_ENABLED := "0"

# The same flags for all: what vet, test and build compile is compiled once. The tag leaves out what writes manual pages, which
# nothing here does, and which costs each start of the program half a millisecond.
export GOFLAGS := "-trimpath -tags=urfave_cli_no_docs"

# Lists the packages in which things run at once, for the race detector to see: goroutines, servers, parallel tests.
concurrent := "git grep -lE '^\\s*go (func\\b|[a-z])|\\.Go\\(|httptest\\.|net\\.Listen|\\bt\\.Parallel\\(' -- '*.go' | sed 's|[^/]*$||; s|^|./|' | sort -u"

[private]
default:
    @just --list --unsorted

# Set up this machine and run every test: what CI runs, cheapest first. The programs come before the tests that skip where they lack.
ci: fmt-check vet setup unraced race e2e

# Build the example project of testdata/, with a Debian package, on a parent made of Debian packages, and run it.
demo: setup build
    bin/inlay build --parent-image apt:bookworm+python3+ca-certificates --apt-package git -o oci:bin/demo testdata/example
    testdata/e2e/run.sh bin/demo

# List what syft finds in the image of that. Not in CI: building syft takes longer than all of it.
scan: demo
    go run github.com/anchore/syft/cmd/syft@v1.42.0 scan -q oci-dir:bin/demo

# Build bin/inlay.
build:
    go build -o bin/inlay ./cmd/inlay

# Run the hermetic tests, in random order.
test *args:
    go test -shuffle=on {{ args }} ./...

# Run the hermetic tests under the race detector, the longest ones in short, of the packages where there is anything to race.
race:
    CGO_ENABLED=1 go test -race -short -shuffle=on $({{ concurrent }})

# Run the hermetic tests that `race` does not: those of the other packages, and of the ones that it runs in short.
[private]
unraced:
    go test -shuffle=on $( (comm -23 <(git ls-files '*_test.go' | sed 's|[^/]*$||; s|^|./|' | sort -u) <({{ concurrent }}); \
        git grep -lF 'testing.Short()' -- '*_test.go' | sed 's|[^/]*$||; s|^|./|') | sort -u)

# Install the programs that the end-to-end tests use.
setup:
    testdata/e2e/setup.sh

# Make the parent images of the end-to-end tests.
parents:
    testdata/e2e/parents.sh bin/e2e

# Run the end-to-end tests: real wheels, a real registry, real engines, real uv and pip. Their report is bin/e2e/report.md.
e2e *args: parents build
    python3 -m pip download -q --no-deps -d bin/e2e/pip pip==26.3
    python3 -m pip install -q --upgrade --target bin/e2e/uv uv
    INLAY_E2E="$PWD/bin/e2e" INLAY_TEST_UV="$PWD/bin/e2e/uv/bin/uv" INLAY_TEST_PIP="$PWD/bin/e2e/pip/pip-26.3-py3-none-any.whl" \
        go test -p 4 -count=1 -timeout 60m -v -run '^Test(E2E|UV|Pip)' {{ args }} ./cmd/inlay ./assemble/dpkg ./resolve/apt ./resolve/cell ./resolve/python

# Compare the trees of all sets of Debian packages with apt-get's: a few are in CI, all take a quarter of an hour.
apt-trees: build
    INLAY_APT_TREES=all INLAY_E2E="$PWD/bin/e2e" go test -count=1 -timeout 60m -v -run '^TestE2E(Same|Sandbox)Tree' ./assemble/dpkg

# Compare what is chosen with what apt-get chooses, for 200 sets of Debian packages: a few are in CI. The report is bin/e2e/apt-report.md.
apt-sets:
    INLAY_APT_SETS=all INLAY_E2E="$PWD/bin/e2e" go test -count=1 -timeout 60m -v -run '^TestE2EApt$' ./resolve/apt

# Install over a thousand Debian packages, and fail if that takes 200 MB of memory or more: takes some minutes.
apt-memory: build
    INLAY_APT_MEMORY=1 INLAY_E2E="$PWD/bin/e2e" go test -count=1 -timeout 60m -v -run '^TestE2EAptMemory$' ./cmd/inlay

# Build for every platform it is for: two minutes of each for all dependencies. The tests check the types of the code for all of them.
cross:
    for os in linux darwin; do for arch in amd64 arm64; do GOOS=$os GOARCH=$arch go build -o /dev/null ./cmd/inlay; done; done

# Format the code.
fmt:
    gofmt -w $(git ls-files '*.go')

[private]
fmt-check:
    @test -z "$(gofmt -l $(git ls-files '*.go'))" || { gofmt -d $(git ls-files '*.go'); exit 1; }

[private]
vet:
    go vet ./...
    go mod tidy -diff

# Run golangci-lint.
lint:
    golangci-lint run ./...

# Rewrite golden files and script outputs. Read the diff before committing.
golden:
    git grep -l 'flag.Bool("update"' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's|^|./|' | xargs -I{} go test {} -update

# Fail if rewriting the golden files changes them. The tests compare them too: this finds rows that nothing tests any more.
golden-check: golden
    @git diff --exit-code -- '*/testdata/*' '*/docs/*' README.md

# Fuzz each target for a while. Not in CI: what it finds by chance belongs to no commit. The seeds run as tests.
fuzz time="30s":
    #!/usr/bin/env bash
    set -euo pipefail
    git grep -oE '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | while IFS=: read -r file func; do
        go test "./$(dirname "$file")" -run '^$' -fuzz "^${func#func }\$" -fuzztime {{ time }} -fuzzminimizetime 10x
    done

# Compare benchmarks with another commit.
bench base="main" count="8" pkgs="./layers/... ./ignore":
    #!/usr/bin/env bash
    set -euo pipefail
    old=$(mktemp -d)
    trap 'git worktree remove --force "$old"' EXIT
    git worktree add --quiet --detach "$old" {{ base }}
    mkdir -p bin
    (cd "$old" && go test -run '^$' -bench . -benchmem -count {{ count }} {{ pkgs }}) > bin/bench-old.txt
    go test -run '^$' -bench . -benchmem -count {{ count }} {{ pkgs }} > bin/bench-new.txt
    benchstat bin/bench-old.txt bin/bench-new.txt

# Build the same images with inlay, buildah, BuildKit and crane, and print a Markdown table of what each took.
peers *args: setup parents build
    testdata/e2e/peers.sh bin/peers
    PATH="$PWD/bin/peers:$PATH" go run ./cmd/bench {{ args }}

# Show which lines the hermetic tests run.
cover:
    mkdir -p bin
    go test -coverpkg=./... -coverprofile=bin/cover.out ./...
    go tool cover -func=bin/cover.out | sort -k3 -n | head -20

# Look for known vulnerabilities (needs the network).
vuln:
    go run golang.org/x/vuln/cmd/govulncheck@latest ./...
