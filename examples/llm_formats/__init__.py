"""Answers of a model in the wire formats of LLM vendors: whole, or as server-sent events.

One module a format. Each has `read_request(body) -> Request`, `whole(answer)`, `events(answer)`
(pieces of a stream, each to be sent when its turn has come) and `failure(failure)`.
"""
