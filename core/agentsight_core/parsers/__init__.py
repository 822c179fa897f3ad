"""Sans-IO parsers: bytes in, messages out.

Must not wait, read a clock, log or raise on bad input: what is malformed becomes a message that
says where and why, and every buffer is bounded.
"""
