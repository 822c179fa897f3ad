"""Kernel side: loads the eBPF programs, attaches them, drains what they saw.

Must not interpret payloads, know sessions beyond their number, or wait.
"""
