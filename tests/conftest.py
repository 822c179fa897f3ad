"""For all tests."""

from __future__ import annotations

import os

# Tests start programs while gRPC serves in the same process. gRPC would stop its threads for each
# fork, which it cannot always, and then the child aborts. None of ours uses gRPC after a fork.
# Source: https://github.com/grpc/grpc/blob/master/doc/fork_support.md
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
