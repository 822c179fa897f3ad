#!/bin/sh
# Installs AgentSight Cluster on one host: packages, environment, configuration, service.
# usage: install.sh [--from DIR|WHEEL] [--unit up|agent|aggregator] [--no-start] | --uninstall [--purge]
#   --from       a checkout, or a wheel; wheels beside a wheel are taken before others. Default: the
#                folder of this script.
#   --unit       up: all of it on this host (default); agent, aggregator: one part of a cluster.
#   --no-start   install and enable the service, but do not start it.
#   --uninstall  take away what was installed; configuration and state stay unless --purge.
# Debian 12+ or Ubuntu 24.04+, as root. Idempotent: a second call upgrades.
set -eu
prefix=/opt/agentsight
config=/etc/agentsight
state=/var/lib/agentsight
units=/etc/systemd/system
all_units="agentsight-up agentsight-agent agentsight-aggregator"
run_packages="ca-certificates libbpf1 python3 python3-venv"
# A checkout is compiled here, a wheel has the BPF programs in it.
build_packages="clang gcc libbpf-dev libc6-dev python3-dev"
case $(uname -m) in
x86_64) build_packages="$build_packages linux-libc-dev-arm64-cross" ;;
aarch64) build_packages="$build_packages linux-libc-dev-amd64-cross" ;;
esac

say() { echo "agentsight: $*"; }
fail() {
    echo "agentsight: $1" >&2
    echo "  what to do: $2" >&2
    exit 1
}
# systemctl talks to nobody in a chroot or a container without systemd.
has_systemd() { [ -d /run/systemd/system ]; }

install_packages() {
    command -v apt-get >/dev/null || fail "this is no Debian or Ubuntu" "install by your own means: $*"
    missing=""
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "installing packages:$missing"
    apt-get update -qq || fail "apt-get update did not work" "see above; is the network up?"
    # shellcheck disable=SC2086  # the list is meant to be split
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        fail "apt-get install did not work" "see above"
}

find_wheel() {
    case $from in
    *.whl)
        [ -f "$from" ] || fail "there is no $from" "name a wheel, or a folder with the sources"
        wheel=$from
        ;;
    *)
        [ -f "$from/pyproject.toml" ] || fail "there are no sources in $from" "name a checkout or a wheel with --from"
        # shellcheck disable=SC2086
        install_packages $build_packages
        say "building the BPF programs and the wheel"
        build=$(mktemp -d)
        trap 'rm -rf "$build"' EXIT
        PYTHON=/usr/bin/python3 "$from/scripts/build_bpf.sh" >"$build/log" 2>&1 || { cat "$build/log" >&2; fail "the BPF programs do not compile" "see above"; }
        "$prefix/venv/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$build" "$from"
        wheel=$(ls "$build"/agentsight_cluster-*.whl)
        ;;
    esac
}

install_program() {
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$(/usr/bin/python3 --version) is too old; 3.11 or newer is needed" "use Debian 12+ or Ubuntu 24.04+"
    mkdir -p "$prefix"
    [ -x "$prefix/venv/bin/pip" ] || /usr/bin/python3 -m venv "$prefix/venv"
    find_wheel
    say "installing $(basename "$wheel") into $prefix/venv"
    # The same version may be another build: ours is always put in place anew, without its dependencies.
    "$prefix/venv/bin/pip" install --quiet --disable-pip-version-check --find-links "$(dirname "$wheel")" "$wheel[cli]"
    "$prefix/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall "$wheel"
    mkdir -p /usr/local/bin
    ln -sf "$prefix/venv/bin/agentsight" /usr/local/bin/agentsight
}

install_files() {
    install -d -m 0750 "$config"
    [ -e "$config/agentsight.yaml" ] || {
        printf '%s\n' "# docs/configuration.md names every key; the defaults are meant to be used." "{}" \
            >"$config/agentsight.yaml"
        chmod 0640 "$config/agentsight.yaml"
    }
    install -d -m 0700 "$state"
    if [ "$unit" = aggregator ]; then
        getent passwd agentsight >/dev/null ||
            useradd --system --home-dir "$state" --shell /usr/sbin/nologin agentsight
        # The aggregator is not root, and has to read its configuration and what that names.
        chgrp -R agentsight "$config"
    fi
    install -d "$units"
    install -m 0644 "$here/deploy/systemd/agentsight-$unit.service" "$units/"
}

start_service() {
    if ! has_systemd; then
        say "systemd does not run here: the unit is in $units, nothing was started"
        return
    fi
    systemctl daemon-reload
    systemctl enable --quiet "agentsight-$unit"
    [ "$start" = yes ] || return 0
    systemctl restart "agentsight-$unit"
    say "agentsight-$unit runs; journalctl -u agentsight-$unit shows what it says"
}

run_doctor() {
    [ "$unit" != aggregator ] || return 0
    "$prefix/venv/bin/agentsight" doctor --config "$config/agentsight.yaml" ||
        fail "this machine does not have all that is needed" "see the lines with NOT OK above; what was installed stays"
}

uninstall() {
    for name in $all_units; do
        [ -e "$units/$name.service" ] || continue
        if has_systemd; then systemctl disable --now --quiet "$name"; fi
        rm -f "$units/$name.service"
    done
    if has_systemd; then systemctl daemon-reload; fi
    rm -rf "$prefix"
    rm -f /usr/local/bin/agentsight
    [ "$purge" = yes ] || { say "removed; $config and $state are still there (--purge)"; return 0; }
    rm -rf "$config" "$state"
    if getent passwd agentsight >/dev/null; then userdel agentsight; fi
    say "removed, with configuration and state"
}

here=$(cd "$(dirname "$0")" && pwd)
from=$here unit=up start=yes action=install purge=no
while [ $# -gt 0 ]; do
    case $1 in
    --from) from=${2:?--from needs a folder or a wheel}; shift ;;
    --unit) unit=${2:?--unit needs up, agent or aggregator}; shift ;;
    --no-start) start=no ;;
    --uninstall) action=uninstall ;;
    --purge) purge=yes ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "install.sh: unknown option $1; see --help" >&2; exit 2 ;;
    esac
    shift
done
case $unit in up | agent | aggregator) ;; *) echo "install.sh: --unit is up, agent or aggregator" >&2; exit 2 ;; esac
[ "$(id -u)" = 0 ] || fail "root is needed" "run it with sudo"
if [ $action = uninstall ]; then uninstall; exit 0; fi
# shellcheck disable=SC2086
install_packages $run_packages
install_program
install_files
# Before the start: the service takes the ports that it looks at.
if has_systemd && systemctl is-active --quiet "agentsight-$unit"; then systemctl stop "agentsight-$unit"; fi
run_doctor
start_service
