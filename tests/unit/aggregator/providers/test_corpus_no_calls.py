"""Requests on paths like those of models that are none, beside servers of one's own that are."""

from __future__ import annotations

import pytest

OK = {"ok": True}


@pytest.mark.parametrize(
    ("url", "ask", "answer"),
    [
        ("https://chat.example.com/v1/messages", {"messages": [{"to": "x"}]}, OK),
        ("https://forms.example.com/api/responses", {"input": "x"}, OK),
        ("https://pictures.example.com/generate", {"prompt": "x"}, {"url": "y"}),
        ("https://editor.example.com/completions", {"prompt": "x"}, {"items": []}),
        ("https://shop.example.com/v1/embeddings", {"input": "x"}, {"data": []}),
        ("https://app.example.com/api/chat", {"messages": [{"role": "user"}]}, OK),
    ],
)
def test_other_programs_on_the_same_paths(read, url, ask, answer):
    assert read(url, ask, answer) is None


@pytest.mark.parametrize(
    ("url", "ask", "answer", "status"),
    [
        # The server has one model only, so nobody names it.
        ("http://10.0.0.5:8080/completion", {"prompt": "x"}, {"content": "y", "stop": True}, 200),
        ("http://10.0.0.5:8080/generate", {"inputs": "x"}, {"generated_text": "y"}, 200),
        ("http://10.0.0.5:8080/v1/completions", {"prompt": "x"}, {"choices": []}, 200),
        ("http://10.0.0.5:8080/v1/messages", {"messages": []}, {"content": []}, 200),
        # A failure proves nothing, the model's name does.
        ("http://10.0.0.5:8080/v1/messages", {"model": "m", "messages": []}, OK, 500),
    ],
)
def test_servers_of_ones_own(read, url, ask, answer, status):
    assert read(url, ask, answer, status=status) is not None
