"""`python -m agentsight_aggregator [--config FILE]`: the aggregator, until SIGTERM."""

import sys

from agentsight_core.runtime.process import run_service

from agentsight_aggregator.service import serve

if __name__ == "__main__":
    sys.exit(run_service("agentsight-aggregator", serve))
