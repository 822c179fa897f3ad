"""In the place of Jaeger: the official OTLP trace service, which writes what it gets as JSON lines.

python otlp_sink.py FILE        Runs in a container of the aggregator's image, on port 4317.
"""

import json
import sys
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc


class Traces(traces_grpc.TraceServiceServicer):
    def __init__(self, file: Path) -> None:
        self._file = file

    def Export(self, request, context):  # noqa: N802  # the name in the .proto
        lines = []
        for group in request.resource_spans:
            resource = MessageToDict(group.resource)
            for scope in group.scope_spans:
                spans = map(MessageToDict, scope.spans)
                lines += [json.dumps({"resource": resource, **span}) for span in spans]
        with self._file.open("a") as out:
            out.write("".join(f"{line}\n" for line in lines))
        return traces.ExportTraceServiceResponse()


class Metrics(metrics_grpc.MetricsServiceServicer):
    def Export(self, request, context):  # noqa: N802  # the name in the .proto
        return metrics.ExportMetricsServiceResponse()


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    traces_grpc.add_TraceServiceServicer_to_server(Traces(Path(sys.argv[1])), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    server.add_insecure_port("0.0.0.0:4317")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
