"""Files of frames: how frames are written to disk and read back.

Must not know the bus, the agent or the aggregator.
"""
