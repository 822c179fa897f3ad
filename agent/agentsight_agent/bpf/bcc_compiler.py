"""Compiles the programs with BCC, in a process of its own: `python -m ...bcc_compiler`.

Standard input and output are JSON: {"text", "headers", "flags"} in, {program: instructions in
hexadecimal} out; what clang says goes to standard error. LLVM takes 130 MB, which the agent need
not keep, and BCC changes the working directory. Must not load anything.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from ctypes import c_bool, c_char_p, c_int, c_size_t, c_uint, c_void_p

LIBRARY = "libbcc.so.0"
# Exit status: the library cannot be loaded.
NO_LIBRARY = 3

# bcc/bcc_common.h of BCC 0.26
_SIGNATURES = {
    "bpf_module_create_c_from_string": (
        c_void_p,
        (c_char_p, c_uint, c_void_p, c_int, c_bool, c_char_p),
    ),
    "bpf_num_functions": (c_size_t, (c_void_p,)),
    "bpf_function_name": (c_char_p, (c_void_p, c_size_t)),
    "bpf_function_start_id": (c_void_p, (c_void_p, c_size_t)),
    "bpf_function_size_id": (c_size_t, (c_void_p, c_size_t)),
}


def compile_text(text: str, headers: str, flags: list[str]) -> dict[str, bytes] | None:
    """Return the instructions of each program; None if it does not compile.

    `headers` is the source folder of the kernel's headers. Raises OSError without the library.
    """
    library = ctypes.CDLL(LIBRARY)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    os.environ["BCC_KERNEL_SOURCE"] = headers
    encoded = (c_char_p * len(flags))(*(flag.encode() for flag in flags))
    module = library.bpf_module_create_c_from_string(
        text.encode(), 0, encoded, len(flags), True, None
    )
    if not module:
        return None
    return {
        library.bpf_function_name(module, index).decode(): ctypes.string_at(
            library.bpf_function_start_id(module, index),
            library.bpf_function_size_id(module, index),
        )
        for index in range(library.bpf_num_functions(module))
    }


def main() -> int:
    """Answer one request."""
    request = json.load(sys.stdin)
    try:
        programs = compile_text(**request)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return NO_LIBRARY
    if programs is None:
        return 1
    json.dump({name: code.hex() for name, code in programs.items()}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
