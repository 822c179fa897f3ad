"""A real cluster on one machine for tests: each member a process in its own network namespace.

Needs root. Must not know what aggregators make of the events: who judges that is given to it.
"""
