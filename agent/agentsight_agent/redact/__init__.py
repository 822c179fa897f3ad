"""Redaction on the node: credentials are replaced before anything leaves the process.

Must not let content through when a rule fails, and must not know sessions or the bus.
"""

from agentsight_agent.redact.redactor import CaptureMode, Redactor

__all__ = ["CaptureMode", "Redactor"]
