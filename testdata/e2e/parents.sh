#!/bin/bash
# parents.sh DIR: make the parent images of the end-to-end tests, as OCI layouts in DIR: debian, local, venv, elsewhere, oldnumpy.
# Makes only what is missing.
set -euo pipefail
dir=${1:?usage: parents.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
INCLUDE=python3,python3-pip,python3-venv,ca-certificates "$here/parent.sh" "$dir/debian"

# derive NAME BASE: NAME from its Containerfile, on top of the parent BASE. It needs no network and no root.
derive() (
  [ ! -s "$dir/$1/index.json" ] || exit 0
  work=${TMPDIR:-/tmp}/inlay-derive-$1-$$ # buildah makes a name of the path, and refuses capitals in it
  trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
  mkdir -p "$work/context"
  [ ! -d "$dir/$1.context" ] || cp -r "$dir/$1.context/." "$work/context"
  ln -s "$dir/$2" "$work/base"
  buildah=(buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs)
  sed "s,^FROM .*,FROM oci:$work/base," "$here/../parents/$1.Containerfile" >"$work/Containerfile"
  "${buildah[@]}" bud --isolation chroot --network host --format oci --timestamp 1700000000 --layers=false \
    -f "$work/Containerfile" -t made "$work/context" >&2
  "${buildah[@]}" push -q made "oci:$work/out:latest"
  mv "$work/out" "$dir/$1"
)

if [ ! -s "$dir/oldnumpy/index.json" ]; then
  mkdir -p "$dir/oldnumpy.context/wheels"
  python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux2014_"$(uname -m)" \
    -d "$dir/oldnumpy.context/wheels" numpy==1.24.4
fi
# At once: each has a store of its own, and fills less than a processor.
derive oldnumpy debian &
oldnumpy=$!
derive venv debian &
venv=$!
derive local debian
derive elsewhere local
wait "$oldnumpy"
wait "$venv"
rm -rf "$dir/oldnumpy.context"
