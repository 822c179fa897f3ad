#!/bin/sh
# Brings a real Arize Phoenix into an environment of its own, .setup/phoenix: 850 MB, so only its test asks for it.
# usage: setup_phoenix.sh      Idempotent.
set -eu
cd "$(dirname "$0")/.."
folder=.setup/phoenix
package=arize-phoenix==20.26.1
[ "$(cat $folder/version 2>/dev/null)" != "$package" ] || exit 0
echo "set-up: installing $package"
# What was half made is made anew.
rm -rf $folder
/usr/bin/python3 -m venv $folder
$folder/bin/python -m pip install --quiet --disable-pip-version-check $package >.setup/phoenix.log 2>&1 || {
    echo "set-up of Phoenix failed: $(grep -m 1 -i error .setup/phoenix.log || tail -n 1 .setup/phoenix.log)" >&2
    exit 1
}
echo "$package" >$folder/version
