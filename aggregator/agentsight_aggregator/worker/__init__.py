"""Runs the fold over partitions of EVENTS: reads, folds, writes findings, saves its place.

Must not know what a fold does. Here alone may an unexpected exception of a fold be caught: one
poisoned frame must not stop a partition.
"""
