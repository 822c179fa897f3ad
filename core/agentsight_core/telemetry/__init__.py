"""The loss ledger and the metrics of one process.

Must not know what the stages do.
"""
