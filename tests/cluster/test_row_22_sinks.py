import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from agentsight_core.testing.cluster.network import Network
from agentsight_core.testing.conditions import eventually
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


class Receiver(trace_grpc.TraceServiceServicer):
    """Takes spans, or fails as `mode` says: then it has taken nothing."""

    def __init__(self) -> None:
        self.port = 0
        self.mode = "take"
        self.failed = Counter()
        self.spans = Counter()

    async def Export(self, request, context):  # noqa: N802  # gRPC's name
        mode = self.mode
        if mode != "take":
            self.failed[mode] += 1
        if mode == "refuse":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        elif mode == "throttle":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", _later())
        elif mode == "hang":
            await asyncio.Event().wait()
        elif mode == "slow":
            await asyncio.sleep(0.3)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.update(span.span_id for span in scope.spans)
        return trace_pb.ExportTraceServiceResponse()


def _later() -> tuple[tuple[str, bytes], ...]:
    """Return what makes of "too many" a "try again": without it the spans are refused for good."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(200)
    status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    status.details.add().Pack(info)
    return (("grpc-status-details-bin", status.SerializeToString()),)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver where the hosts reach it."""
    receiver, server = Receiver(), grpc.aio.server()
    trace_grpc.add_TraceServiceServicer_to_server(receiver, server)
    receiver.port = server.add_insecure_port("0.0.0.0:0")
    await server.start()
    try:
        yield receiver
    finally:
        await server.stop(grace=None)


def lines(cluster) -> list[str]:
    """Return the ids of the findings in the files of all aggregators."""
    return [
        json.loads(line)["id"]
        for member in cluster.aggregators
        for line in (member.folder / "findings.jsonl").read_bytes().splitlines()
        if line.endswith(b"}")
    ]


@pytest.mark.parametrize("mode", ["refuse", "throttle", "hang", "slow"])
async def test_a_sink_that_fails_holds_up_nobody_and_gets_everything_once(run, mode):
    async with receiving() as receiver:
        endpoint = f"http://{Network().own_address}:{receiver.port}"
        settings = {"otlp_endpoint": endpoint, "jsonl": True, "rate": 20.0}
        async with run(f"sink: {mode}", **settings) as it:
            cluster = it.cluster
            await eventually(lambda: receiver.spans.total() > 100)
            it.happens()
            receiver.mode = mode
            await eventually(lambda: receiver.failed[mode] > 0)
            # The partitions, and the other exporter, go on; owners change meanwhile.
            await cluster.flows()
            before = len(lines(cluster))
            await eventually(lambda: len(lines(cluster)) > before + 200)
            victim = it.random.choice(cluster.aggregators)
            assert await victim.stop() == 0
            await cluster.flows()
            await victim.start()
            await cluster.ready(victim)
            receiver.mode = "take"
            verdict = await it.finish()
            assert not verdict.faults
            written = lines(cluster)
            again = receiver.spans.total() - len(receiver.spans)
            it.note(failed=receiver.failed[mode], spans_again=again)
            findings = [finding for _, finding in it.evidence.parsed_findings()]
            spans = [f.span.span_id for f in findings if f.WhichOneof("body") == "span"]
            assert Counter(written) == Counter(finding.id.hex() for finding in findings)
            assert receiver.spans == Counter(spans)
