"""One call of a model, in the terms of the OTel GenAI conventions.

`providers` makes it of an exchange, `analyzers` work on it. No vendor's wire format beyond here.
"""

from __future__ import annotations

import msgspec

AttributeValue = str | int | float | bool | tuple[str, ...]


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call that a model's answer asks for."""

    # "" when the wire format has no ids (Gemini, Ollama)
    id: str
    name: str
    # JSON text as the model wrote it.
    arguments: str


class ToolResult(msgspec.Struct, frozen=True):
    """A tool result that a request brings to the model."""

    id: str
    # "" unless the wire format repeats it (Gemini).
    name: str
    content: str
    is_error: bool


class Message(msgspec.Struct, frozen=True):
    """One message of a conversation, in the OTel form."""

    # system, user, assistant, tool
    role: str
    # JSON array of OTel message parts: {"type": "text", "content": …}, tool_call, …
    parts_json: str
    # 16 bytes: BLAKE2b of role and parts_json; equal messages have equal hashes across requests.
    hash: bytes
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts as OTel defines them; None where the answer did not say."""

    # Includes cache_read and cache_write.
    input_tokens: int | None = None
    # Includes reasoning.
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class LlmCall(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a model and what came back."""

    # gen_ai.provider.name: "anthropic", "openai", "gcp.gemini"…
    provider: str
    # The wire format: "anthropic.messages", "openai.chat"…
    api: str
    # gen_ai.operation.name: chat, generate_content, text_completion, embeddings
    operation: str
    request_model: str = ""
    response_model: str = ""
    response_id: str = ""
    # From the response headers: request-id, x-request-id…
    request_id: str = ""
    # A real id on the wire only, never invented.
    conversation_id: str = ""
    stream: bool = False
    # Further OTel attributes of the request (gen_ai.request.temperature …) and of the response.
    attributes: dict[str, AttributeValue] = {}

    system: Message | None = None
    input: tuple[Message, ...] = ()
    output: tuple[Message, ...] = ()
    tool_definitions: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    usage: Usage = Usage()
    # USD; None when the model has no known price.
    cost_usd: float | None = None

    # "" = no error; else the vendor's error type, the HTTP status as text, or an own word such as
    # "aborted" when no vendor said anything.
    error_type: str = ""
    error_message: str = ""
    # The answer says "try again" (429, 5xx, overloaded): a following equal request is a retry.
    retryable: bool = False
    status: int = 0

    start_ns: int
    end_ns: int
    # When the first piece of generated content arrived; 0 if none did or it does not stream.
    first_chunk_ns: int = 0
    # How many pieces of generated content arrived, for the time between them.
    chunks: int = 0
    server_address: str = ""
    server_port: int = 0
    # What could not be read of the exchange, one sentence each; marks the span.
    problems: tuple[str, ...] = ()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the answer, in order."""
        return tuple(call for message in self.output for call in message.tool_calls)
