"""What a process that runs for long does about its memory."""

import subprocess
import sys

_PROGRAM = """
import gc
from agentsight_core.runtime.memory import keep_what_is_loaded

class Cycle:
    pass

lives, dies = Cycle(), Cycle()
dies.me = dies
del dies
keep_what_is_loaded()
looked_through = gc.get_objects()
assert not any(one is lives for one in looked_through)
gc.unfreeze()
print(sum(isinstance(one, Cycle) for one in gc.get_objects()))
"""


def test_what_is_loaded_is_looked_through_no_more_and_what_is_garbage_is_gone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("1\n", "")
