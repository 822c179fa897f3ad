#!/bin/sh
# Generates core/agentsight_core/pb from proto/. With --check: fails when the committed files are stale.
set -eu
cd "$(dirname "$0")/.."
out=core
if [ "${1:-}" = "--check" ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
.venv/bin/python -m grpc_tools.protoc --proto_path=proto --python_out="$out" --pyi_out="$out" \
    proto/agentsight_core/pb/*.proto
if [ "$out" != core ]; then
    for file in "$out"/agentsight_core/pb/*; do
        cmp -s "$file" "core/agentsight_core/pb/$(basename "$file")" || {
            echo "core/agentsight_core/pb/$(basename "$file") is stale: run 'make proto'" >&2
            exit 1
        }
    done
fi
