"""The section about several aggregators that share the partitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from agentsight_core.config.section import Section


class CoordinationConfig(Section):
    """How several aggregators share the partitions; nothing is needed for a single one."""

    endpoints: tuple[str, ...] = ()
    """Addresses of the etcd members (3.4 or newer), for example `https://etcd-0:2379`; empty means
    that this aggregator owns all partitions."""

    ca_file: Path | None = None
    """PEM file of the authority that signed the members' certificates; needed for `https`."""

    certificate_file: Path | None = None
    """PEM file of the certificate that the aggregator shows to etcd."""

    key_file: Path | None = None
    """PEM file of the key of `certificate_file`."""

    lease_s: Annotated[int, Field(ge=2, le=300)] = 3
    """Seconds without a sign of life after which another aggregator takes over, and for which an
    aggregator goes on when etcd does not answer."""

    @field_validator("endpoints", mode="after")
    @classmethod
    def _are_addresses(cls, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        for endpoint in endpoints:
            url = urlsplit(endpoint)
            has_more = url.path or url.query or url.fragment or url.username
            if url.scheme not in ("http", "https") or not url.hostname or has_more or not url.port:
                raise ValueError("each endpoint is http://HOST:PORT or https://HOST:PORT")
        return endpoints

    @model_validator(mode="after")
    def _has_certificates(self) -> CoordinationConfig:
        if any(endpoint.startswith("https:") for endpoint in self.endpoints) and not self.ca_file:
            raise ValueError("give ca_file for https endpoints")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("give certificate_file and key_file together")
        return self
