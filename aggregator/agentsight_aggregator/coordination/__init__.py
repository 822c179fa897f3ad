"""Who owns which partition.

Must not protect anything: that is done by fenced writes. Ownership only keeps replicas from doing
the same work twice.
"""
