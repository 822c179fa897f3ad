"""`python -m agentsight_cli` and the `agentsight` command.

Exit status: 0 done; 1 it did not work out (the message says why); 2 wrong usage, configuration or
input; 130 interrupted. `record` passes on the status of its command.
"""

from __future__ import annotations

import sys

from agentsight_core.errors import AgentSightError, ConfigError

from agentsight_cli.app import app


def main() -> int:
    """Run the command line and return the exit status; errors become one message on stderr."""
    try:
        app(prog_name="agentsight")  # ends in SystemExit, also when all is well
    except ConfigError as error:
        return _fail(str(error), 2)
    except AgentSightError as error:
        return _fail(str(error), 1)
    return 0


def _fail(message: str, status: int) -> int:
    print(f"agentsight: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
