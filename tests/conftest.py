"""For all tests."""

from __future__ import annotations

import os
import signal

# Tests start programs while gRPC serves in the same process. gRPC would stop its threads for each
# fork, which it cannot always, and then the child aborts. None of ours uses gRPC after a fork.
# Source: https://github.com/grpc/grpc/blob/master/doc/fork_support.md
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start inherits
# that. Tests send it to the commands that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
