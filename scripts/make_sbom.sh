#!/bin/sh
# Writes the list of Python packages of each image as a CycloneDX SBOM: dist/sbom/TARGET.cdx.json.
# usage: make_sbom.sh [TARGET…]     After `make images`. Without targets: agent aggregator cli.
# Environment: IMAGE_PREFIX, IMAGE_TAG as in build_images.sh. What the base image brings is described by
# the SBOM of the base.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)
[ $# -gt 0 ] || set -- agent aggregator cli
mkdir -p dist/sbom
work=$(mktemp -d)
container=
trap 'rm -rf "$work"; [ -z "$container" ] || docker rm "$container" >/dev/null' EXIT
for target; do
    container=$(docker create "${IMAGE_PREFIX:-agentsight-}$target:${IMAGE_TAG:-$version}")
    docker cp "$container:/opt/agentsight/lib" "$work/$target" >/dev/null
    docker rm "$container" >/dev/null
    container=
    # The packages of the image in an environment of this machine: the tool asks an interpreter for them.
    .venv/bin/python -m venv --without-pip "$work/env"
    rm -rf "$work"/env/lib/python3*/site-packages
    mv "$work/$target"/python3*/site-packages "$(echo "$work"/env/lib/python3*)/"
    .venv/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
        -o "dist/sbom/$target.cdx.json" "$work/env/bin/python" >/dev/null
    rm -rf "$work/env" "${work:?}/$target"
    echo "dist/sbom/$target.cdx.json"
done
