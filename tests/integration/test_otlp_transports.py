"""OTLP against receivers that are away, slow, back again, or speak TLS."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from agentsight_aggregator.exporters.otlp.exporter import OtlpMetricsExporter
from agentsight_aggregator.exporters.otlp.grpc_transport import GrpcTransport
from agentsight_aggregator.exporters.otlp.http_transport import HttpTransport
from agentsight_aggregator.exporters.otlp.transport import OtlpProtocol, OtlpSettings, Signal
from agentsight_aggregator.samples import Counter
from agentsight_core.errors import ConfigError, Retryable
from agentsight_core.telemetry.ledger import Stage
from agentsight_core.testing.certificates import Authority
from agentsight_core.testing.otlp_receiver import Received, grpc_receiver, http_receiver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

pytestmark = [pytest.mark.server, pytest.mark.parametrize("protocol", ["grpc", "http"])]


def transport(settings: OtlpSettings) -> GrpcTransport | HttpTransport:
    return GrpcTransport(settings) if settings.protocol == "grpc" else HttpTransport(settings)


def receiver(protocol: OtlpProtocol, port: int = 0) -> AbstractAsyncContextManager[Received]:
    return grpc_receiver(port) if protocol == "grpc" else http_receiver(port)


async def send_until_taken(to: GrpcTransport | HttpTransport) -> None:
    """Try again as the runner does: a channel notices only after a while that a peer is back."""
    async with asyncio.timeout(20):
        while True:
            try:
                await to.send(Signal.TRACES, b"")
            except Retryable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_receiver_that_is_away_is_retryable_until_it_is_back(
    protocol: OtlpProtocol,
) -> None:
    async with receiver(protocol) as received:
        port = received.port
    settings = OtlpSettings(endpoint=f"http://127.0.0.1:{port}", protocol=protocol, timeout_s=2)

    async with transport(settings) as to:
        with pytest.raises(Retryable):
            await to.send(Signal.TRACES, b"")

        async with receiver(protocol, port) as received:
            await send_until_taken(to)
            assert len(received.traces) == 1


async def test_a_receiver_that_never_answers_is_given_up_after_the_timeout(
    protocol: OtlpProtocol,
) -> None:
    hung = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = OtlpSettings(endpoint=f"http://127.0.0.1:{port}", protocol=protocol, timeout_s=0.3)

    async with server, transport(settings) as to:
        async with asyncio.timeout(5):
            with pytest.raises(Retryable):
                await to.send(Signal.TRACES, b"")
        hung.set()


async def test_metrics_arrive_at_the_official_service(protocol: OtlpProtocol) -> None:
    calls = Counter(name="calls", unit="{call}", description="", labels=(), value=3)
    stage = Stage("sink.metrics", "points")
    async with receiver(protocol) as received:
        settings = OtlpSettings(endpoint=f"http://127.0.0.1:{received.port}", protocol=protocol)
        async with transport(settings) as to:
            exporter = OtlpMetricsExporter(
                to, lambda: [(0, calls)], stage, start_ns=lambda _: 5, resource={"a": "b"}
            )
            await exporter.push(10)

    (data,) = received.metrics
    metric = ExportMetricsServiceRequest.FromString(data).resource_metrics[0].scope_metrics[0]
    assert metric.metrics[0].sum.data_points[0].as_double == 3
    assert (stage.received, stage.emitted) == (1, 1)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "otlp receiver of a test")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


def tls_receiver(
    protocol: OtlpProtocol, certificate: tuple[Path, Path]
) -> AbstractAsyncContextManager[Received]:
    if protocol == "grpc":
        pem, key = (path.read_bytes() for path in certificate)
        return grpc_receiver(certificate=pem, key=key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return http_receiver(tls=context)


async def test_tls_with_the_right_authority_works_and_with_another_one_does_not(
    protocol: OtlpProtocol, certificate: tuple[Path, Path]
) -> None:
    async with tls_receiver(protocol, certificate) as received:
        endpoint = f"https://127.0.0.1:{received.port}"
        trusted = OtlpSettings(endpoint=endpoint, protocol=protocol, ca_file=certificate[0])
        async with transport(trusted) as to:
            await to.send(Signal.TRACES, b"")
        unknown = OtlpSettings(endpoint=endpoint, protocol=protocol, timeout_s=3)
        async with transport(unknown) as to:
            with pytest.raises(Retryable):
                await to.send(Signal.TRACES, b"")

    assert len(received.traces) == 1


async def test_a_replaced_file_is_used_without_a_restart(
    protocol: OtlpProtocol, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(Authority(tmp_path).certificate.read_bytes())
    async with tls_receiver(protocol, certificate) as received:
        settings = OtlpSettings(
            endpoint=f"https://127.0.0.1:{received.port}",
            protocol=protocol,
            ca_file=authority,
            timeout_s=3,
        )
        async with transport(settings) as to:
            with pytest.raises(Retryable):
                await to.send(Signal.TRACES, b"")
            if protocol == "http":
                authority.write_text("being written")
                with pytest.raises(Retryable):
                    await to.send(Signal.TRACES, b"")
            authority.write_bytes(certificate[0].read_bytes())
            await to.send(Signal.TRACES, b"")

    assert len(received.traces) == 1


async def test_a_certificate_file_that_is_missing_is_a_configuration_error(
    protocol: OtlpProtocol, tmp_path: Path
) -> None:
    missing = tmp_path / "none.pem"
    settings = OtlpSettings(endpoint="https://127.0.0.1:1", protocol=protocol, ca_file=missing)

    with pytest.raises(ConfigError, match=r"No such file"):
        await transport(settings).__aenter__()
