"""Traces of other systems' tracers, recorded there and read here: what their readers share.

Readers are pure parsers: must not reach files, clocks or loops.
"""
