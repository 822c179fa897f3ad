"""The node agent: turns kernel records into events and hands them to the bus.

Must not read the JSON of LLM APIs and must not import the aggregator.
"""
