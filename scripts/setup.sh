#!/bin/sh
# Brings a Debian 12+ or Ubuntu 24.04+ machine, with nothing prepared, to where the Makefile's words work.
# usage: setup.sh run|dev|tls      Idempotent; a second call takes a moment.
set -eu
cd "$(dirname "$0")/.."
level=${1:-run}
python=/usr/bin/python3
stamps=.setup

# make, compiler and headers for the drain; clang, libbpf for the probes.
run_packages="ca-certificates clang gcc libbpf-dev libbpf1 libc6-dev python3 python3-dev python3-venv"
# Kernel headers of the other machine that the probes are compiled for.
case $(uname -m) in
x86_64) run_packages="$run_packages linux-libc-dev-arm64-cross" ;;
aarch64) run_packages="$run_packages linux-libc-dev-amd64-cross" ;;
esac
# Real programs that the tests watch and real servers that they use.
dev_packages="curl etcd-client etcd-server faketime fuse3 git iproute2 iptables libcurl3-gnutls libcurl3-nss libssl-dev nftables nss-plugin-pem openssl prometheus prometheus-alertmanager systemd wget"

# BCC and kernel headers: how programs come into kernels without BTF.
dev_packages="$dev_packages libbpfcc"
if [ ! -e "/lib/modules/$(uname -r)/build" ]; then
    case $(. /etc/os-release && echo "$ID") in
    ubuntu) dev_packages="$dev_packages linux-headers-generic" ;;
    *) dev_packages="$dev_packages linux-headers-$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')" ;;
    esac
fi

step() { current=$1; }
fail() {
    echo >&2
    echo "set-up failed at: $current" >&2
    echo "  why:  $1" >&2
    echo "  what to do: $2" >&2
    exit 1
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing_packages() {
    for package in $1; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

install_packages() {
    step "system packages"
    wanted=$1
    command -v dpkg-query >/dev/null ||
        fail "this is no Debian or Ubuntu" "install by your own means: $wanted"
    missing=$(missing_packages "$wanted" | tr '\n' ' ')
    [ -n "${missing% }" ] || return 0
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
        fail "not root, and there is no sudo" "run as root: apt-get install $missing"
    echo "set-up: installing $missing"
    mkdir -p $stamps
    as_root apt-get update -qq >$stamps/apt.log 2>&1 ||
        fail "apt-get update: $(tail -n 1 $stamps/apt.log)" "see $PWD/$stamps/apt.log; is the network up?"
    # shellcheck disable=SC2086  # the list is meant to be split
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
        >$stamps/apt.log 2>&1 ||
        fail "apt-get install: $(tail -n 1 $stamps/apt.log)" "see $PWD/$stamps/apt.log"
}

check_python() {
    step "Python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$python" --version) is too old; 3.11 or newer is needed" "use Debian 12+ or Ubuntu 24.04+"
}

install_python_packages() {
    step "virtual environment"
    extra=$1
    mkdir -p $stamps
    stamp=$stamps/python-$extra
    state=$("$python" --version; cat pyproject.toml)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ] && [ -x .venv/bin/agentsight ]; then return 0; fi
    [ -x .venv/bin/pip ] || "$python" -m venv .venv >$stamps/venv.log 2>&1 ||
        fail "$(tail -n 1 $stamps/venv.log)" "see $PWD/$stamps/venv.log"
    echo "set-up: installing Python packages ($extra)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extra]" >$stamps/pip.log 2>&1 ||
        fail "pip: $(grep -m 1 -i error $stamps/pip.log || tail -n 1 $stamps/pip.log)" "see $PWD/$stamps/pip.log"
    printf '%s\n' "$state" >"$stamp"
}

build_bpf() {
    step "BPF objects and the drain"
    scripts/build_bpf.sh >$stamps/bpf.log 2>&1 ||
        fail "$(grep -m 1 -i error $stamps/bpf.log || tail -n 1 $stamps/bpf.log)" "see $PWD/$stamps/bpf.log"
}

case $level in
run)
    install_packages "$run_packages"
    check_python
    install_python_packages demo
    ;;
dev)
    install_packages "$run_packages $dev_packages"
    step "node"
    command -v node >/dev/null || install_packages "nodejs"
    check_python
    install_python_packages dev
    step "helm"
    scripts/setup_helm.sh
    ;;
tls)
    step "clients with TLS of their own"
    command -v go >/dev/null || install_packages "golang-go"
    command -v java >/dev/null || install_packages "default-jdk-headless"
    command -v npm >/dev/null || install_packages "npm"
    exit 0
    ;;
*)
    echo "usage: $0 run|dev|tls" >&2
    exit 2
    ;;
esac
build_bpf
