"""Which header fields carry credentials, and which say something without carrying any.

Must not look at values.
"""

from __future__ import annotations

import re

# Whole values go. Beyond the list, vendors' fields are known by how their names end.
_CREDENTIALS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "api-key",
        "apikey",
        "x-goog-iam-authorization-token",
        "x-amz-security-token",
        "x-functions-key",
        "ocp-apim-subscription-key",
        "x-access-key",
        "x-auth",
    }
)
_CREDENTIAL_ENDING = re.compile(
    r"(?:[-_]|^)(?:token|secret|password|api[-_]?key|auth[-_]?key|access[-_]?key|credentials?"
    r"|authorization|cookie|signature)$"
)
# What stays in the mode without content.
_METADATA = frozenset(
    {
        "accept",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "host",
        # Two random ids; joins the call to the traces of the watched program itself.
        "traceparent",
        "retry-after",
        "server",
        "transfer-encoding",
        "upgrade",
        ":protocol",
        "grpc-status",
        "user-agent",
        "request-id",
        "x-request-id",
        "x-amzn-requestid",
        "apim-request-id",
        "anthropic-version",
        "anthropic-beta",
        "openai-version",
        "openai-processing-ms",
    }
)
_METADATA_BEGINNING = re.compile(r"(?:x-ratelimit-|anthropic-ratelimit-|x-stainless-)")


def is_credential(name: str) -> bool:
    """Whether the field `name` (lower case) has a credential as its value."""
    return name in _CREDENTIALS or _CREDENTIAL_ENDING.search(name) is not None


def is_metadata(name: str) -> bool:
    """Whether the field `name` (lower case) may be kept when no content is."""
    return name in _METADATA or _METADATA_BEGINNING.match(name) is not None
