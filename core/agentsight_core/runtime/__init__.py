"""How a process of ours runs: signals, and the notes by which local processes find each other.

Must not know what the process does.
"""
