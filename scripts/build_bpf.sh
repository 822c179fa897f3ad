#!/bin/sh
# Builds the kernel programs (clang) and the drain extension (gcc) straight into the agent's package.
# Needs: clang, gcc, libbpf-dev, linux-libc-dev, python3-dev. Set PYTHON to the interpreter to build for;
# the extension uses the stable ABI, so any CPython >= 3.11 can load it.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
out=agent/agentsight_agent/bpf
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
multiarch=$(gcc -print-multiarch)

clang -g -O2 -mcpu=v3 -target bpf -D__TARGET_ARCH_x86 -Wall -Wextra -Werror -Wno-unused-parameter \
    -Wno-unknown-attributes -I"/usr/include/$multiarch" -Ibpf -c bpf/agentsight.bpf.c -o "$out/agentsight.bpf.o.tmp"
mv "$out/agentsight.bpf.o.tmp" "$out/agentsight.bpf.o"

if [ -d "$out/drain" ]; then
    gcc -std=gnu11 -O2 -g -fPIC -shared -fvisibility=hidden -Wall -Wextra -Werror -Wno-unused-parameter \
        -DPy_LIMITED_API=0x030B0000 -I"$include" -Ibpf -I"$out/drain" "$out"/drain/*.c -o "$out/_drain.abi3.so.tmp"
    mv "$out/_drain.abi3.so.tmp" "$out/_drain.abi3.so"
fi
