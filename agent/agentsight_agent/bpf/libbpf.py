"""The functions of libbpf that are used, declared for ctypes.

Source: libbpf.readthedocs.io/en/latest/api.html and the headers of libbpf 1.1.
Must not decide anything.
"""

from __future__ import annotations

import ctypes
import functools
from collections import deque
from ctypes import c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

# libbpf_print_fn_t; the va_list is only handed on to vsnprintf: a pointer on x86-64, and passed as
# one on arm64, as it is longer than 16 bytes.
_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_void_p, c_void_p)
_LIBBPF_WARN = 0
_MESSAGE_BYTES = 65536
# A verifier log has thousands of lines; the reason is in the last ones.
_warnings: deque[str] = deque(maxlen=30)

_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_object__open_file": (c_void_p, (c_char_p, c_void_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_object__find_map_by_name": (c_void_p, (c_void_p, c_char_p)),
    "bpf_object__find_program_by_name": (c_void_p, (c_void_p, c_char_p)),
    "bpf_object__next_program": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_map__fd": (c_int, (c_void_p,)),
    "bpf_map__name": (c_char_p, (c_void_p,)),
    "bpf_map__type": (c_int, (c_void_p,)),
    "bpf_map__key_size": (c_uint32, (c_void_p,)),
    "bpf_map__value_size": (c_uint32, (c_void_p,)),
    "bpf_map__max_entries": (c_uint32, (c_void_p,)),
    "bpf_map__map_flags": (c_uint32, (c_void_p,)),
    "bpf_map__initial_value": (c_void_p, (c_void_p, c_void_p)),
    "bpf_map__set_max_entries": (c_int, (c_void_p, c_uint32)),
    "bpf_map__set_initial_value": (c_int, (c_void_p, c_char_p, c_size_t)),
    "bpf_program__fd": (c_int, (c_void_p,)),
    "bpf_program__name": (c_char_p, (c_void_p,)),
    "bpf_program__section_name": (c_char_p, (c_void_p,)),
    "bpf_program__autoload": (c_bool, (c_void_p,)),
    "bpf_program__set_autoload": (c_int, (c_void_p, c_bool)),
    "bpf_program__set_expected_attach_type": (c_int, (c_void_p, c_int)),
    "bpf_program__attach": (c_void_p, (c_void_p,)),
    "bpf_link__destroy": (c_int, (c_void_p,)),
    "bpf_map_create": (c_int, (c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p)),
    "bpf_prog_load": (c_int, (c_int, c_char_p, c_char_p, c_char_p, c_size_t, c_void_p)),
    "bpf_raw_tracepoint_open": (c_int, (c_char_p, c_int)),
    "bpf_map_lookup_elem": (c_int, (c_int, c_char_p, c_char_p)),
    "bpf_map_update_elem": (c_int, (c_int, c_char_p, c_char_p, c_uint64)),
    "bpf_map_delete_elem": (c_int, (c_int, c_char_p)),
    "bpf_obj_get_info_by_fd": (c_int, (c_int, c_void_p, c_void_p)),
    "libbpf_num_possible_cpus": (c_int, ()),
    "libbpf_find_vmlinux_btf_id": (c_int, (c_char_p, c_int)),
    "libbpf_set_print": (c_void_p, (_PRINT,)),
    "btf__load_vmlinux_btf": (c_void_p, ()),
    "btf__find_by_name": (c_int, (c_void_p, c_char_p)),
    "btf__free": (None, (c_void_p,)),
}


class LibraryError(Exception):
    """libbpf is not there or too old; the message says what to install."""


class MapOptions(ctypes.Structure):
    """struct bpf_map_create_opts as of libbpf 1.0; `sz` tells later versions where it ends."""

    _fields_ = (
        ("sz", c_size_t),
        ("btf_fd", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("inner_map_fd", c_uint32),
        ("map_flags", c_uint32),
        ("map_extra", c_uint64),
        ("numa_node", c_uint32),
        ("map_ifindex", c_uint32),
    )


class ProgramOptions(ctypes.Structure):
    """struct bpf_prog_load_opts as of libbpf 1.0; `sz` tells later versions where it ends."""

    _fields_ = (
        ("sz", c_size_t),
        ("attempts", c_int),
        ("expected_attach_type", c_int),
        ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32),
        ("prog_ifindex", c_uint32),
        ("kern_version", c_uint32),
        ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32),
        ("attach_btf_obj_fd", c_uint32),
        ("fd_array", c_void_p),
        ("func_info", c_void_p),
        ("func_info_cnt", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("line_info", c_void_p),
        ("line_info_cnt", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("log_level", c_uint32),
        ("log_size", c_uint32),
        ("log_buf", c_void_p),
    )


@functools.cache
def library() -> ctypes.CDLL:
    """Return libbpf, loaded once; raise LibraryError if that cannot be done."""
    try:
        loaded = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise LibraryError(
            "libbpf.so.1 is not installed; on Debian and Ubuntu: apt-get install libbpf1"
        ) from error
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(loaded, name)
        except AttributeError as error:
            raise LibraryError(
                f"libbpf.so.1 has no {name}: version 1.0 or later is needed"
            ) from error
        function.restype = result
        function.argtypes = arguments
    loaded.libbpf_set_print(_KEEP_WARNING)
    return loaded


def take_warnings() -> list[str]:
    """Return what libbpf had to say since the last call: its last lines, without line ends."""
    lines = list(_warnings)
    _warnings.clear()
    return lines


@functools.cache
def _vsnprintf() -> Any:
    function = ctypes.CDLL(None).vsnprintf
    function.restype = c_int
    function.argtypes = (c_char_p, c_size_t, c_void_p, c_void_p)
    return function


def _keep_warning(level: int, text_format: int, arguments: int) -> int:
    if level == _LIBBPF_WARN:
        buffer = ctypes.create_string_buffer(_MESSAGE_BYTES)
        _vsnprintf()(buffer, _MESSAGE_BYTES, text_format, arguments)
        _warnings.extend(buffer.value.decode(errors="replace").splitlines())
    return 0


# A global: libbpf calls it as long as the process lives.
_KEEP_WARNING = _PRINT(_keep_warning)
