"""The `agentsight` command.

Must not hold logic that a server needs.
"""
