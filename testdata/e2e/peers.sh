#!/bin/bash
# peers.sh DIR: put buildkitd, buildctl, crane and uv into DIR, for cmd/bench. Makes only what is missing; buildah comes with setup.sh.
set -euo pipefail
dir=${1:?usage: peers.sh DIR}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
export CGO_ENABLED=0 GOBIN=$dir

# go install refuses BuildKit's go.mod, which replaces modules.
if [ ! -x "$dir/buildkitd" ]; then
  module=$(go mod download -json github.com/moby/buildkit@v0.34.2 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  work=$(mktemp -d)
  trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
  cp -r "$module" "$work/src"
  chmod -R u+w "$work/src"
  (cd "$work/src" && go build -mod=mod -o "$dir/" ./cmd/buildkitd ./cmd/buildctl)
fi
[ -x "$dir/crane" ] || go install "github.com/google/go-containerregistry/cmd/crane@$(go list -m -f "{{.Version}}" github.com/google/go-containerregistry)"
if [ ! -x "$dir/uv" ]; then
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install -q uv==0.13.9
  ln -s venv/bin/uv "$dir/uv"
fi
