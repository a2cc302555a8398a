#!/bin/sh
# Brings what is missing before anything else runs: npm packages (without install scripts), the Bun runtime from its npm package, bundles of the long-running programs, and the programs `ip` and `nft`.
# Quick when nothing is missing. Needs Linux, Node's npm, and root only where a system package has to be installed.
set -eu
cd "$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)"

say() { printf 'lateen: %s\n' "$1" >&2; }
stop() { say "$1"; exit 1; }

[ "$(uname -s)" = Linux ] || stop "this system is $(uname -s). Lateen's mesh needs Linux network namespaces: supported are Linux x86-64 and arm64, kernel 5.11 or newer (a Linux virtual machine or WSL 2 will do)."
case "$(uname -m)" in
  x86_64 | aarch64 | arm64) ;;
  *) stop "this machine is $(uname -m). Supported are x86-64 and arm64." ;;
esac

if ! [ -d node_modules ] || ! cmp -s package-lock.json node_modules/.lateen-lock; then
  command -v npm >/dev/null 2>&1 || stop "npm is missing. Install Node.js 20 or newer, which brings it."
  say "installing npm packages (once)"
  # Not `npm ci`: it refuses a lock file made where a registry does not carry the binaries of other platforms. This installs what is locked and changes no file of ours.
  npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error >&2 || stop "npm install failed, see above. It needs a package registry to be reachable and about 600 MB of disk."
  cp package-lock.json node_modules/.lateen-lock
fi

bun=node_modules/bun/bin/bun.exe
if ! "$bun" --version >/dev/null 2>&1; then
  node node_modules/bun/install.js >&2 || stop "the Bun runtime could not be put in place from its npm package. Remove node_modules and try again."
  "$bun" --version >/dev/null 2>&1 || stop "the Bun runtime does not start on this machine. It needs an x86-64 or arm64 Linux with glibc."
fi

# Bundles of the proxies and the control plane; nothing happens while those that are there are fresh.
"$bun" scripts/build.ts --if-stale >/dev/null || say "the programs could not be bundled, see above. They run from source, with twice the memory."

PATH="$PATH:/usr/sbin:/sbin"
missing=''
command -v ip >/dev/null 2>&1 || missing="$missing ip"
command -v nft >/dev/null 2>&1 || missing="$missing nft"
if [ -n "$missing" ]; then
  if command -v apt-get >/dev/null 2>&1; then packages='iproute2 nftables'; install="apt-get install -y $packages"; refresh='apt-get update'
  elif command -v dnf >/dev/null 2>&1; then packages='iproute nftables'; install="dnf install -y $packages"; refresh=true
  elif command -v apk >/dev/null 2>&1; then packages='iproute2 nftables'; install="apk add $packages"; refresh=true
  elif command -v pacman >/dev/null 2>&1; then packages='iproute2 nftables'; install="pacman -S --noconfirm $packages"; refresh=true
  elif command -v zypper >/dev/null 2>&1; then packages='iproute2 nftables'; install="zypper install -y $packages"; refresh=true
  else stop "missing:$missing. Install iproute2 and nftables with your system's package manager."
  fi
  [ "$(id -u)" = 0 ] || stop "missing:$missing. Run this once, then try again:  sudo $install"
  say "installing$missing with the system's package manager (once)"
  log=$(mktemp)
  if ! { DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; $refresh >"$log" 2>&1 && $install >>"$log" 2>&1; }; then
    tail -n 5 "$log" >&2
    stop "'$install' failed (log: $log). Install$missing by hand, then try again."
  fi
  rm -f "$log"
fi
