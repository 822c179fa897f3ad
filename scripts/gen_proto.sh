#!/bin/sh
# Generates the pb packages of core/ from proto/. With --check: fails when the committed files are stale.
set -eu
cd "$(dirname "$0")/.."
out=core
if [ "${1:-}" = "--check" ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
.venv/bin/python -m grpc_tools.protoc --proto_path=proto --python_out="$out" --pyi_out="$out" \
    proto/agentsight_core/pb/*.proto proto/agentsight_core/etcd/pb/*.proto
.venv/bin/python -m grpc_tools.protoc --proto_path=proto --grpc_python_out="$out" \
    proto/agentsight_core/pb/api.proto
if [ "$out" != core ]; then
    (cd "$out" && find . -type f) | while read -r file; do
        cmp -s "$out/$file" "core/$file" || {
            echo "core/${file#./} is stale: run 'make proto'" >&2
            exit 1
        }
    done
fi
