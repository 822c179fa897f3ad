"""Cheap places for probes: taken where the code proves them right, refused everywhere else."""

import pytest
from agentsight_agent.tls.emulated import called, cheap_offset, shared_internal
from agentsight_agent.tls.x86 import RDI

ENDBR = "f30f1efa"
SUB_RSP = "4883ec18"


def code(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


def call(at: int, target: int) -> str:
    """Return `call target` for an instruction that stands at `at`."""
    return "e8" + (target - at - 5).to_bytes(4, "little", signed=True).hex()


@pytest.mark.parametrize(
    ("function", "offset"),
    [
        (code("55"), 0),
        (code("4156"), 0),
        (code(ENDBR, "55"), 4),
        (code(ENDBR, "90"), 4),
        # A long nop is single-stepped before Linux 6.17: go on to the push.
        (code("0f1f4000", "55"), 4),
        (code("31c0", "55"), 2),
        (code(SUB_RSP, "55"), None),  # the return address has moved
        (code("4889f7", "55"), None),  # mov %rsi,%rdi
        (code("89d2", "55"), None),  # mov %edx,%edx: changes the size
        (code("c3"), None),
        (code(""), None),
    ],
)
def test_place_for_a_return_probe(function: bytes, offset: int | None) -> None:
    assert cheap_offset(function, returns=True) == offset


def test_an_entry_probe_may_be_behind_a_stack_change() -> None:
    function = code(SUB_RSP, "4885ff", "7440")
    assert cheap_offset(function, frozenset({RDI}), returns=False) == 7
    assert cheap_offset(function, frozenset({RDI}), returns=True) is None


# SSL_x(s, buf, num): test num, js error; rcx = &written; num widened; call.
PLAIN = [SUB_RSP, "31c0", "85d2", "7820", "4889e1", "4863d2"]
PLAIN_CALL_AT = len(code(*PLAIN))
EX_ADDRESS, PLAIN_ADDRESS, INNER = 0x2000, 0x1000, 0x800


def entries(*, ex: list[str], plain: list[str]) -> int | None:
    ex_code = code(*ex, call(EX_ADDRESS + len(code(*ex)), INNER))
    plain_code = code(*plain, call(PLAIN_ADDRESS + len(code(*plain)), INNER))
    return shared_internal(ex_code, EX_ADDRESS, plain_code, PLAIN_ADDRESS)


def test_shared_internal_is_found() -> None:
    assert entries(ex=["4883ec08"], plain=PLAIN) == INNER
    assert entries(ex=[ENDBR, "4883ec08"], plain=[ENDBR, *PLAIN]) == INNER


@pytest.mark.parametrize(
    ("ex", "plain"),
    [
        # OpenSSL 3.2: ssl_write_internal(s, buf, num, flags, written), so rcx is not `written`.
        (["4989c8", "31c9"], PLAIN),
        # A branch before the call of the _ex entry: bytes may take another way.
        (["4885ff", "7440"], PLAIN),
        # A branch that is not the check for a negative size.
        (["4883ec08"], ["4885ff", "7420", *PLAIN]),
        (["4883ec08"], ["85d2", "7420", *PLAIN]),
        (["4883ec08"], ["4885ff", "7820", *PLAIN]),
        # The buffer is another one.
        (["4883ec08"], [*PLAIN, "4889fe"]),
        # The size is another one.
        (["4883ec08"], [*PLAIN, "ba05000000"]),
    ],
)
def test_shared_internal_must_be_proven(ex: list[str], plain: list[str]) -> None:
    assert entries(ex=ex, plain=plain) is None


def test_two_functions_are_no_shared_internal() -> None:
    ex_code = code("4883ec08", call(EX_ADDRESS + 4, INNER))
    plain_code = code(*PLAIN, call(PLAIN_ADDRESS + PLAIN_CALL_AT, INNER + 16))
    assert shared_internal(ex_code, EX_ADDRESS, plain_code, PLAIN_ADDRESS) is None


def test_called_names_the_targets() -> None:
    assert called(code("55", call(0x1001, 0x5000), "c3"), 0x1000) == {0x5000}
