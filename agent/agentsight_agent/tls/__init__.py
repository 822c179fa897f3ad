"""Finds TLS code in executables and libraries, and keeps probes attached to it.

Must not load BPF programs (that is `bpf`) and must not look at payload.
"""
