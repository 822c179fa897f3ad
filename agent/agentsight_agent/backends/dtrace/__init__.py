"""DTrace (macOS): the script that prints what an agent does, and the reader of its output.

The reader is pure: must not start DTrace, reach files, clocks or loops.
"""
