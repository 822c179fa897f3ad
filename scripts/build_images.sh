#!/bin/sh
# Builds the images of the Dockerfile from the wheels in dist/wheels.
# usage: build_images.sh [TARGET…]      Without targets all: agent aggregator cli nats etcd.
# Environment: BASE_IMAGE (see the Dockerfile), IMAGE_PREFIX (agentsight-), IMAGE_TAG (the version),
# DOCKER_BUILD_OPTIONS (for example --push of a buildx).
set -eu
cd "$(dirname "$0")/.."
version=$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# Without the plugin of BuildKit the classic builder has to be asked for; it warns that it is old.
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
[ $# -gt 0 ] || set -- agent aggregator cli nats etcd
for target; do
    name=${IMAGE_PREFIX:-agentsight-}$target:${IMAGE_TAG:-$version}
    echo "image: $name" >&2
    # shellcheck disable=SC2086  # the options are meant to be split
    docker build --quiet ${DOCKER_BUILD_OPTIONS:-} --target "$target" --tag "$name" \
        ${BASE_IMAGE:+--build-arg BASE_IMAGE="$BASE_IMAGE"} \
        --build-arg VERSION="$version" --build-arg REVISION="$revision" . >/dev/null
    echo "$name"
done
