#!/bin/bash
# setup.sh: install the programs that the end-to-end tests use, from Debian's packages. Installs only what is missing.
set -euo pipefail
packages=(
  podman docker.io containerd crun runc uidmap # engines
  fuse-overlayfs                               # an overlay where the kernel has none
  buildah skopeo umoci                         # image tools
  docker-registry apache2-utils openssl        # the registry on loopback, its passwords and certificates
  mmdebstrap ca-certificates curl              # parents from packages
  python3 python3-pip python3-venv git
  zsh fish                                     # shells whose completion is tested
)
missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
# As root also a user with subordinate ids, to run images as one who is not root: runuser -u e2e -- ...
if [ "$(id -u)" = 0 ]; then
  id e2e >/dev/null 2>&1 || useradd --create-home --shell /bin/bash e2e
  grep -q '^e2e:' /etc/subuid || { echo e2e:200000:65536 >>/etc/subuid; echo e2e:200000:65536 >>/etc/subgid; }
fi
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" != 0 ]; then sudo=(sudo -n); fi
echo "setup.sh: installing ${missing[*]}" >&2
# No service starts by itself: without an init system the packages' scripts must not try.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
  "${sudo[@]}" chmod 755 $policy
  trap '"${sudo[@]}" rm -f $policy' EXIT
fi
install=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends
  -o Dpkg::Options::=--force-confold -o Acquire::Retries=3)
"${sudo[@]}" apt-get update -q >&2
# A second try: a first one may fail half way on a busy mirror.
"${install[@]}" "${missing[@]}" >&2 || {
  "${sudo[@]}" dpkg --configure -a >&2 || true
  "${install[@]}" --fix-broken "${missing[@]}" >&2
}
