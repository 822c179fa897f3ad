#!/bin/sh
# Builds the images of the Dockerfile from the wheels in dist/wheels.
# usage: build_images.sh [TARGET…]      Without targets all: agent aggregator cli nats etcd.
# Environment: BASE_IMAGE (see the Dockerfile), IMAGE_PREFIX (agentsight-), IMAGE_TAG (the version),
# DOCKER_BUILD_OPTIONS (for example --push of a buildx).
# A base that comes from a registry is pinned by its digest; one that was made on this machine has none.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
created=$(git log -1 --format=%cI 2>/dev/null || echo unknown)
name_of_base=${BASE_IMAGE:-$(sed -nE 's/^ARG BASE_IMAGE=//p' Dockerfile)}
base=$name_of_base
case $base in
*@sha256:*) ;;
*)
    docker image inspect "$base" >/dev/null 2>&1 || docker pull --quiet "$base" >/dev/null
    # The same image may have come from several registries.
    case ${base##*/} in *:*) repository=${base%:*} ;; *) repository=$base ;; esac
    pinned=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$base" |
        awk -F@ -v repository="$repository" '$1 == repository { print; exit }')
    [ -z "$pinned" ] || base=$pinned
    ;;
esac
case $base in *@*) digest=${base#*@} ;; *) digest= ;; esac
# Without the plugin of BuildKit the classic builder has to be asked for; it warns that it is old.
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
[ $# -gt 0 ] || set -- agent aggregator cli nats etcd
for target; do
    name=${IMAGE_PREFIX:-agentsight-}$target:${IMAGE_TAG:-$version}
    echo "image: $name on $base" >&2
    # shellcheck disable=SC2086  # the options are meant to be split
    docker build --quiet ${DOCKER_BUILD_OPTIONS:-} --target "$target" --tag "$name" \
        --build-arg BASE_IMAGE="$base" --build-arg VERSION="$version" --build-arg REVISION="$revision" \
        --label org.opencontainers.image.created="$created" \
        --label org.opencontainers.image.base.name="$name_of_base" \
        ${digest:+--label org.opencontainers.image.base.digest="$digest"} . >/dev/null
    echo "$name"
done
