#!/bin/sh
# Puts the wheel of this tree and the wheels of everything that it needs into dist/wheels, for the images.
# usage: make_wheels.sh      Needs the environment of `make setup`; pip's own configuration counts.
set -eu
cd "$(dirname "$0")/.."
out=dist/wheels
scripts/build_bpf.sh
mkdir -p $out
rm -f $out/agentsight_cluster-*.whl
pip=".venv/bin/python -m pip --disable-pip-version-check"
$pip wheel --quiet --no-deps --wheel-dir $out .
# Every dependency as a wheel, those too that have none; what is there already is taken.
$pip wheel --quiet --find-links $out --wheel-dir $out "$(ls $out/agentsight_cluster-*.whl)[cli]"
