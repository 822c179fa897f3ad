"""A connection that goes on over a change of its certificates.

A server looks at a certificate when a connection begins and never again. So the connection is begun
anew when the files change, long before the old certificate could be refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import nats

from agentsight_core.bus.failures import translated
from agentsight_core.errors import ConfigError, Retryable
from agentsight_core.runtime.tls import Fingerprint, TlsFiles

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


@contextlib.asynccontextmanager
async def tls_followed(client: nats.NATS, files: TlsFiles | None) -> AsyncIterator[None]:
    """Keep `client` on the certificates that are in `files`, while the context is open."""
    if files is None:
        yield
        return
    following = asyncio.create_task(_follow(client, files, _seen(files)), name="certificates")
    try:
        yield
    finally:
        following.cancel()


async def _follow(client: nats.NATS, files: TlsFiles, seen: Fingerprint) -> None:
    complaint = ""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        now = _seen(files)
        if now in (seen, ()):
            continue
        try:
            # Of files that are being replaced the key may not be the certificate's: look again.
            client.options["tls"] = files.context()
        except ConfigError as error:
            if str(error) != complaint:
                _log.warning("the certificates in use stay: %s", error)
            complaint = str(error)
            continue
        seen, complaint = now, ""
        _log.info("the certificates have changed: connecting again")
        with contextlib.suppress(Retryable), translated("connecting with new certificates"):
            await client.force_reconnect()


def _seen(files: TlsFiles) -> Fingerprint:
    try:
        return files.fingerprint()
    except OSError:
        return ()
