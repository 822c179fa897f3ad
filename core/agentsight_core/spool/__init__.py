"""The spool: frames on the node's disk until the bus has them.

Must not know the bus or what the events mean.
"""
