"""Sessions: the process trees of AI agents, from their first sign to their last process.

Must not read traffic or load BPF programs; the kernel side is told which processes to track.
"""

from agentsight_agent.sessions.rules import SessionRule
from agentsight_agent.sessions.session import Session, TrackingKernel
from agentsight_agent.sessions.tracker import SessionTracker

__all__ = ["Session", "SessionRule", "SessionTracker", "TrackingKernel"]
