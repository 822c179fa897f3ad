#!/bin/sh
# Brings a Debian or Ubuntu machine to where the tests with containers work: Docker, docker-compose, the
# program of a registry for one test, a base image made here, so that no registry of others is needed, and
# the images of this tree on it.
# usage: setup_docker.sh      As root. Idempotent; a daemon that answers is used as it is.
# The log of a daemon that is started here is .setup/dockerd.log, its process id .setup/dockerd.pid.
set -eu
cd "$(dirname "$0")/.."
stamps=.setup
mkdir -p $stamps

fail() {
    echo "set-up of Docker failed: $1" >&2
    exit 1
}

missing=
for pair in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap docker-registry:docker-registry; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    echo "set-up: installing$missing"
    # shellcheck disable=SC2086  # the list is meant to be split
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install \
        -y -qq --no-install-recommends $missing; } >$stamps/docker-apt.log 2>&1 ||
        fail "$(tail -n 1 $stamps/docker-apt.log)"
fi

answers() { docker info >/dev/null 2>&1; }
if ! answers; then
    echo "set-up: starting dockerd"
    setsid dockerd >$stamps/dockerd.log 2>&1 </dev/null &
    echo $! >$stamps/dockerd.pid
    tries=0
    until answers; do
        tries=$((tries + 1))
        [ $tries -le 60 ] || fail "dockerd does not answer; $(tail -n 2 $stamps/dockerd.log)"
        sleep 1
    done
fi

scripts/make_base_image.sh >/dev/null
scripts/make_wheels.sh
export IMAGE_TAG=test
BASE_IMAGE=agentsight-servers:bookworm scripts/build_images.sh etcd >/dev/null
BASE_IMAGE=agentsight-base:bookworm scripts/build_images.sh agent aggregator cli nats >/dev/null
