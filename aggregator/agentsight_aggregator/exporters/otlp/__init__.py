"""OTLP: spans and metrics to Jaeger, a collector, or any other receiver, by gRPC or HTTP.

Messages are built from findings directly, without the OpenTelemetry SDK: the same findings must
give the same bytes on any replica. Edges stay out: a link belongs to a span, and the span has been
sent when its effects become known; the JSON lines have them.
"""
