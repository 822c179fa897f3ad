"""Where findings and business metrics leave the system: JSON lines, OTLP, Prometheus, a terminal.

An exporter translates and delivers; returning means durable at the sink. It must not interpret
findings, keep a position, retry, or hold metric code: the runner around it does that.
"""
