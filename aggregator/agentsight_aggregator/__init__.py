"""The aggregator: turns events into meaning (calls, turns, tools, causes) and exports it.

Must not import the agent: the two meet on the wire.
"""
