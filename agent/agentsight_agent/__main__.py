"""`python -m agentsight_agent [--config FILE]`: the agent of one node, until SIGTERM."""

import sys

from agentsight_core.runtime.process import run_service

from agentsight_agent.service import serve

if __name__ == "__main__":
    sys.exit(run_service("agentsight-agent", serve))
