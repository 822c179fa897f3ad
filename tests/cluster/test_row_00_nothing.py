import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


async def test_without_a_fault_nothing_is_lost_and_nothing_is_there_twice(run):
    async with run("none") as it:
        await asyncio.sleep(2)
        verdict = await it.finish()
        assert not verdict.faults
        assert verdict.units > 100
