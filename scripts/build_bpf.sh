#!/bin/sh
# Builds the kernel programs (clang) and the drain extension (gcc) straight into the agent's package.
# Needs: clang, gcc, libbpf-dev, linux-libc-dev and that of the other machine, python3-dev. Set PYTHON to
# the interpreter to build for; the extension uses the stable ABI, so any CPython >= 3.11 can load it.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
out=agent/agentsight_agent/bpf
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')

# The objects of both machines: they are small, and one package then serves both. Headers of the other
# machine are in a package of their own.
compile() {
    machine=$1 target=$2
    headers=/usr/include/$machine-linux-gnu
    [ -d "$headers/asm" ] || headers=/usr/$machine-linux-gnu/include
    [ -d "$headers/asm" ] || {
        echo "error: no kernel headers of $machine: apt-get install linux-libc-dev-$3-cross" >&2
        exit 1
    }
    clang -g -O2 -mcpu=v3 -target bpf "-D__TARGET_ARCH_$target" -Wall -Wextra -Werror -Wno-unused-parameter \
        -Wno-unknown-attributes -I"$headers" -Ibpf -c bpf/agentsight.bpf.c -o "$out/agentsight.$machine.bpf.o.tmp"
    mv "$out/agentsight.$machine.bpf.o.tmp" "$out/agentsight.$machine.bpf.o"
}
# What BCC compiles on nodes without BTF: one text.
"$python" scripts/flatten_bpf.py bpf/agentsight.bpf.c >"$out/agentsight.bcc.c.tmp"
mv "$out/agentsight.bcc.c.tmp" "$out/agentsight.bcc.c"

compile x86_64 x86 amd64
compile aarch64 arm64 arm64

if [ -d "$out/drain" ]; then
    gcc -std=gnu11 -O2 -g -fPIC -shared -fvisibility=hidden -Wall -Wextra -Werror -Wno-unused-parameter \
        -DPy_LIMITED_API=0x030B0000 -I"$include" -Ibpf -I"$out/drain" "$out"/drain/*.c -o "$out/_drain.abi3.so.tmp"
    mv "$out/_drain.abi3.so.tmp" "$out/_drain.abi3.so"
fi
