#!/bin/bash
# engine.sh start docker|containerd DIR: start an engine with all that it keeps in DIR, and print its socket.
# engine.sh stop DIR: stop it. As root only; it needs no init system and touches no network.
set -euo pipefail
here=$0
[ $# -ge 2 ] || { sed -n '2,3s/^# //p' "$here" >&2; exit 2; }

start() {
  local engine=$1 dir=$2 socket=$2/sock
  mkdir -p "$dir"
  case $engine in
    docker)
      set -- dockerd --data-root "$dir/root" --exec-root "$dir/exec" --pidfile "$dir/daemon.pid" -H "unix://$socket" \
        --bridge=none --iptables=false --ip6tables=false --exec-opt native.cgroupdriver=cgroupfs
      ready() { docker -H "unix://$socket" version >/dev/null 2>&1; } ;;
    containerd)
      printf 'version = 2\nroot = "%s/root"\nstate = "%s/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "%s"\n' \
        "$dir" "$dir" "$socket" >"$dir/config.toml"
      set -- containerd -c "$dir/config.toml"
      ready() { ctr -a "$socket" version >/dev/null 2>&1; } ;;
    *) echo "engine.sh: no engine $engine" >&2; exit 2 ;;
  esac
  setsid "$@" >"$dir/log" 2>&1 &
  echo $! >"$dir/pid"
  for _ in $(seq 100); do
    if ready; then echo "$socket"; return; fi
    kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
    sleep 0.2
  done
  tail -5 "$dir/log" >&2
  exit 1
}

stop() {
  local dir=$1 pid
  pid=$(cat "$dir/pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  umount -l "$dir/exec/netns/default" 2>/dev/null || true
}

case $1 in
  start) start "$2" "$3" ;;
  stop) stop "$2" ;;
esac
