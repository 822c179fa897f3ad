"""Dead letters: input that a stage could not take, kept with the reason, for people to look at.

Must not decide what is poison, nor send letters again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing, StoredMessage
from agentsight_core.bus.failures import SequenceConflict, TooLarge

_STAGE = "Agentsight-Stage"
_ERROR = "Agentsight-Error"
_ATTEMPTS = "Agentsight-Attempts"
_TIME = "Agentsight-Time"
_PARTITION = "Agentsight-Partition"
_SUBJECT = "Agentsight-Subject"
_SEQUENCE = "Agentsight-Sequence"
_CUT = "Agentsight-Cut"
_FOLDING = ("fold", "plugin:")
_ERROR_CHARS = 1000
_CUT_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a stage gave up, and why."""

    # Which stage: "decode", "fold", or "plugin:" or "export:" and a name.
    stage: str
    error: str
    attempts: int
    # Unix ns at which the stage gave up.
    time_ns: int
    partition: int
    # Of the original message, in EVENTS or FINDINGS.
    subject: str
    sequence: int
    data: bytes
    # `data` is only the beginning of the original.
    is_cut: bool = False
    # The key that `data`, a finding, is sealed for; a frame says that itself.
    key_id: str = ""


async def write_letter(bus: Bus, letter: DeadLetter) -> bool:
    """Store `letter`; False if this message has one from this stage already.

    What the code that folds says about its input may hold content: where content is sealed, only
    the kind of error is stored, and the text is in the log of who writes.
    """
    if bus.seals and letter.stage.startswith(_FOLDING):
        letter = replace(letter, error=letter.error.partition(":")[0])
    subject = subjects.dead_letter_subject(letter.partition, letter.stage, letter.sequence)
    try:
        try:
            await bus.append([Outgoing(subject, letter.data, _headers(letter))], subject, 0)
        except TooLarge:
            headers = {**_headers(letter), _CUT: "1"}
            await bus.append([Outgoing(subject, letter.data[:_CUT_BYTES], headers)], subject, 0)
    except SequenceConflict:
        return False
    return True


def read_letter(message: StoredMessage) -> DeadLetter:
    """Return the letter that `message` of the DLQ holds."""
    headers = message.headers
    return DeadLetter(
        stage=headers.get(_STAGE, ""),
        error=headers.get(_ERROR, ""),
        attempts=_number(headers, _ATTEMPTS),
        time_ns=_number(headers, _TIME),
        partition=_number(headers, _PARTITION),
        subject=headers.get(_SUBJECT, ""),
        sequence=_number(headers, _SEQUENCE),
        data=message.data,
        is_cut=_CUT in headers,
        key_id=headers.get(subjects.KEY, ""),
    )


def _headers(letter: DeadLetter) -> dict[str, str]:
    # Header values are one line of ASCII.
    error = letter.error[:_ERROR_CHARS].encode("ascii", "backslashreplace").decode()
    return {
        _STAGE: letter.stage,
        _ERROR: " ".join(error.split()),
        _ATTEMPTS: str(letter.attempts),
        _TIME: str(letter.time_ns),
        _PARTITION: str(letter.partition),
        _SUBJECT: letter.subject,
        _SEQUENCE: str(letter.sequence),
        **({subjects.KEY: letter.key_id} if letter.key_id else {}),
    }


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    return int(text) if text.isdecimal() else 0
