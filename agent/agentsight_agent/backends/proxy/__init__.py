"""The portable back end: a recording proxy on loopback, and processes by polling. No privileges.

Must not interpret what passes beyond the heads of requests.
"""
