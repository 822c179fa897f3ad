"""Streams: put the events of one thing (an HTTP exchange) together before it is given meaning.

Must not know vendors, clocks, the bus or exporters: a stream is a pure fold, time is an argument.
"""
