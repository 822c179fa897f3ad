"""What `agentsight doctor` checks. Each check says what it found and, if need be, what to do.

Must not change the machine: what a check starts, it ends.
"""

from agentsight_cli.checks.check import Check

__all__ = ["Check"]
