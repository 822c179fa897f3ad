#!/bin/sh
# Makes the image that our tests build on where no registry can be reached: Debian by debootstrap, with
# Python and the certificates of this machine, and out of it one with the servers that the tests run.
# usage: make_base_image.sh      Idempotent; needs root, debootstrap and a Docker daemon.
# It prints the names: agentsight-base:bookworm, agentsight-servers:bookworm.
set -eu
base=agentsight-base:bookworm
servers=agentsight-servers:bookworm
suite=bookworm
# Debian's packages; nats-server is a wheel.
python_packages="ca-certificates libbpf1 python3 python3-venv"
server_packages="etcd-server openssl prometheus prometheus-alertmanager"

has() { docker image inspect "$1" >/dev/null 2>&1; }

# The mirror that this machine uses.
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -nE 's/^(deb(-src)?( \[[^]]*\])? |URIs: *)(https?:[^ ]*\/debian\/?)( .*|$)/\4/p' | head -n 1
}

if ! has $base; then
    url=$(mirror)
    [ -n "$url" ] || { echo "no Debian mirror in /etc/apt/sources.list*" >&2; exit 1; }
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    echo "base image: debootstrap $suite" >&2
    debootstrap --variant=minbase --include="$(echo $python_packages | tr ' ' ,)" \
        $suite "$root" "$url" >"$root.log" 2>&1 || { tail -n 5 "$root.log" >&2; exit 1; }
    # What lets pip and apt of a build through here: the machine's own authorities and settings.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
    cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    ln -sf python3 "$root/usr/bin/python"
    rm -rf "$root"/usr/lib/python3*/EXTERNALLY-MANAGED "$root"/var/cache/apt/archives/*.deb \
        "$root"/var/lib/apt/lists/* "$root.log"
    tar -C "$root" -c . | docker import --change 'ENV PYTHONDONTWRITEBYTECODE=1' - $base >/dev/null
fi

if ! has $servers; then
    echo "base image: servers" >&2
    nats=$(.venv/bin/python -c 'from agentsight_core.bus.server import find_program; print(find_program())')
    context=$(mktemp -d)
    trap 'rm -rf "$context" "${root:-}"' EXIT
    cp "$nats" "$context/nats-server"
    cat >"$context/Dockerfile" <<END
FROM $base
RUN apt-get update -qq \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $server_packages \\
 && rm -rf /var/lib/apt/lists/* && install -d -o 65534 -g 65534 /prometheus /alertmanager
COPY nats-server /usr/local/bin/nats-server
END
    docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
    docker build -q -t $servers "$context" >/dev/null
fi
echo "$base"
echo "$servers"
