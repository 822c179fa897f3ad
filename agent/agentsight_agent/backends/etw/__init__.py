"""ETW (Windows): the script that records sessions, and the reader of what tracerpt makes of them.

The reader is pure: must not start sessions, reach files, clocks or loops.
"""
