"""Capture back ends: eBPF is one of several ways to see what an agent says and does.

Must not interpret payloads: that is the pipeline's, whoever has captured them.
"""
