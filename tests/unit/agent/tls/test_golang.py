"""Where a Go function can be hooked: behind its stack check, and at its ends."""

import pytest
from agentsight_agent.tls.golang import _checked_entry, _ends

# cmp 0x10(%r14),%rsp; jbe
SMALL = bytes.fromhex("493b6610 0f867a030000")
# lea -0x48(%rsp),%r12; cmp 0x10(%r14),%r12; jbe
LARGE = bytes.fromhex("4c8d6424b8 4d3b6610 0f8693070000")
BODY = bytes.fromhex("4889442468 e800000000")


@pytest.mark.parametrize(("code", "check", "behind"), [(SMALL, 4, 10), (LARGE, 9, 15)])
def test_the_stack_check_and_what_follows(code: bytes, check: int, behind: int) -> None:
    assert _checked_entry(code + BODY) == (check, behind)


def test_other_code_is_not_taken_for_go() -> None:
    assert _checked_entry(bytes.fromhex("55 4889e5 4883ec20 7405")) is None
    # A comparison with something else than the limit of the goroutine's stack.
    assert _checked_entry(bytes.fromhex("493b6618 0f867a030000")) is None


@pytest.mark.parametrize(
    ("frame", "end"),
    [
        # Go 1.21 and later: push %rbp; mov %rsp,%rbp; sub $n,%rsp … add $n,%rsp; pop %rbp; ret
        ("55 4889e5 4883ec58", "4883c458 5d c3"),
        ("55 4889e5 4881ecc0000000", "4881c4c0000000 5d c3"),
        # 128 fits in one byte only with the other sign.
        ("55 4889e5 4883c480", "4883ec80 5d c3"),
        # Before: sub $n,%rsp; … mov n-8(%rsp),%rbp; add $n,%rsp; ret
        ("4883ec60 48896c2458", "4883c460 c3"),
    ],
)
def test_every_end_is_found(frame: str, end: str) -> None:
    made, undone = bytes.fromhex(frame), bytes.fromhex(end)
    code = SMALL + made + BODY + undone + BODY + undone
    first = len(SMALL + made + BODY + undone) - 1
    assert _ends(code, len(SMALL)) == [first, first + len(BODY + undone)]
    # A 0xc3 within another instruction is no end.
    assert _ends(SMALL + made + b"\xb8\xc3\xc3\xc3\xc3", len(SMALL)) == []
