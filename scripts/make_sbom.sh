#!/bin/sh
# Writes what is in each image as CycloneDX SBOMs: dist/sbom/TARGET.cdx.json for Python's packages, by
# cyclonedx-py, and dist/sbom/TARGET.system.cdx.json for Debian's, by debsbom.
# usage: make_sbom.sh [TARGET…]     After `make images`. Without targets: agent aggregator cli nats etcd.
# Environment: IMAGE_PREFIX, IMAGE_TAG as in build_images.sh.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)
created=$(git log -1 --format=%cI 2>/dev/null || date -u +%Y-%m-%dT%H:%M:%SZ)
[ $# -gt 0 ] || set -- agent aggregator cli nats etcd
mkdir -p dist/sbom
work=$(mktemp -d)
container=
trap 'rm -rf "$work"; [ -z "$container" ] || docker rm "$container" >/dev/null' EXIT

system_packages() {
    docker export "$container" | .venv/bin/debsbom generate --sbom-type cdx --root - --timestamp "$created" \
        --distro-name "agentsight-$1" --distro-version "$version" --out "dist/sbom/$1.system" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    echo "dist/sbom/$1.system.cdx.json"
}

# The packages of the image in an environment of this machine: the tool asks an interpreter for them.
python_packages() {
    docker cp "$container:/opt/agentsight/lib" "$work/$1" >/dev/null
    .venv/bin/python -m venv --without-pip "$work/env"
    rm -rf "$work"/env/lib/python3*/site-packages
    mv "$work/$1"/python3*/site-packages "$(echo "$work"/env/lib/python3*)/"
    .venv/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
        -o "dist/sbom/$1.cdx.json" "$work/env/bin/python" >/dev/null
    rm -rf "$work/env" "${work:?}/$1"
    echo "dist/sbom/$1.cdx.json"
}

for target; do
    container=$(docker create "${IMAGE_PREFIX:-agentsight-}$target:${IMAGE_TAG:-$version}")
    case $target in agent | aggregator | cli) python_packages "$target" ;; esac
    system_packages "$target"
    docker rm "$container" >/dev/null
    container=
done
