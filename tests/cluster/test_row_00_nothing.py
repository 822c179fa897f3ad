import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


async def test_without_a_fault_nothing_is_lost_and_nothing_is_there_twice(run):
    async with run("none", jsonl=True) as it:
        await asyncio.sleep(2)
        verdict = await it.finish()
        lines = [
            line
            for aggregator in it.cluster.aggregators
            for line in (aggregator.folder / "findings.jsonl").read_text().splitlines()
        ]
        it.note(exported=len(lines), exported_again=len(lines) - len(set(lines)))
        assert not verdict.faults
        assert verdict.units > 100
        # An exporter gets everything at least once, whichever aggregator it runs in.
        assert len(set(lines)) == len(it.evidence.findings)
