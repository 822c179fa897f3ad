"""Analyzers: what exchanges and process events mean (turns, calls, tools, causes, costs).

Pure folds over a session's state. Must not know wire formats of vendors, exporters, the bus or a
clock: the same events give the same findings, byte for byte.
"""
