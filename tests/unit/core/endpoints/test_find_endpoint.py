"""Which request heads are calls of a model, of whom, and which are not."""

from __future__ import annotations

import pytest
from agentsight_core.endpoints import find_endpoint

CALLS = [
    # URL, provider, api, operation, model in the path
    ("api.anthropic.com/v1/messages", "anthropic", "anthropic.messages", "chat", ""),
    ("api.anthropic.com/v1/messages?beta=true", "anthropic", "anthropic.messages", "chat", ""),
    ("api.anthropic.com/v1/complete", "anthropic", "anthropic.complete", "text_completion", ""),
    (
        (
            "europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic"
            "/models/claude-opus-4@20250514:rawPredict"
        ),
        "gcp.vertex_ai",
        "anthropic.messages",
        "chat",
        "claude-opus-4@20250514",
    ),
    ("api.openai.com/v1/chat/completions", "openai", "openai.chat", "chat", ""),
    ("api.openai.com//v1/chat/completions/", "openai", "openai.chat", "chat", ""),
    ("api.openai.com/v1/completions", "openai", "openai.completions", "text_completion", ""),
    ("api.openai.com/v1/embeddings", "openai", "openai.embeddings", "embeddings", ""),
    ("api.openai.com/v1/responses", "openai", "openai.responses", "chat", ""),
    ("chatgpt.com/backend-api/codex/responses", "openai", "openai.responses", "chat", ""),
    (
        "me.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21",
        "azure.ai.openai",
        "openai.chat",
        "chat",
        "my gpt",
    ),
    (
        "me.openai.azure.com/openai/deployments/ada/embeddings?api-version=2024-10-21",
        "azure.ai.openai",
        "openai.embeddings",
        "embeddings",
        "ada",
    ),
    ("me.openai.azure.com/openai/v1/responses", "azure.ai.openai", "openai.responses", "chat", ""),
    (
        "me.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
        "azure.ai.openai",
        "openai.responses",
        "chat",
        "",
    ),
    (
        "me.services.ai.azure.com/models/chat/completions?api-version=1",
        "azure.ai.inference",
        "openai.chat",
        "chat",
        "",
    ),
    (
        "me.services.ai.azure.com/anthropic/v1/messages",
        "azure.ai.inference",
        "anthropic.messages",
        "chat",
        "",
    ),
    ("api.groq.com/openai/v1/chat/completions", "groq", "openai.chat", "chat", ""),
    ("api.groq.com/openai/v1/responses", "groq", "openai.responses", "chat", ""),
    ("api.mistral.ai/v1/chat/completions", "mistral_ai", "openai.chat", "chat", ""),
    (
        "codestral.mistral.ai/v1/fim/completions",
        "mistral_ai",
        "openai.completions",
        "text_completion",
        "",
    ),
    ("api.mistral.ai/v1/agents/completions", "mistral_ai", "openai.chat", "chat", ""),
    ("api.mistral.ai/v1/embeddings", "mistral_ai", "openai.embeddings", "embeddings", ""),
    ("api.deepseek.com/chat/completions", "deepseek", "openai.chat", "chat", ""),
    ("api.deepseek.com/beta/completions", "deepseek", "openai.completions", "text_completion", ""),
    ("api.deepseek.com/anthropic/v1/messages", "deepseek", "anthropic.messages", "chat", ""),
    ("api.together.xyz/v1/chat/completions", "together", "openai.chat", "chat", ""),
    ("api.fireworks.ai/inference/v1/chat/completions", "fireworks", "openai.chat", "chat", ""),
    (
        "api.fireworks.ai/inference/v1/completions",
        "fireworks",
        "openai.completions",
        "text_completion",
        "",
    ),
    ("openrouter.ai/api/v1/chat/completions", "openrouter", "openai.chat", "chat", ""),
    ("openrouter.ai/api/v1/embeddings", "openrouter", "openai.embeddings", "embeddings", ""),
    ("api.x.ai/v1/chat/completions", "x_ai", "openai.chat", "chat", ""),
    ("api.perplexity.ai/chat/completions", "perplexity", "openai.chat", "chat", ""),
    ("api.cerebras.ai/v1/chat/completions", "cerebras", "openai.chat", "chat", ""),
    ("integrate.api.nvidia.com/v1/chat/completions", "nvidia", "openai.chat", "chat", ""),
    ("api.sambanova.ai/v1/chat/completions", "sambanova", "openai.chat", "chat", ""),
    ("api.moonshot.cn/v1/chat/completions", "moonshot_ai", "openai.chat", "chat", ""),
    (
        "dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions",
        "alibaba_cloud",
        "openai.chat",
        "chat",
        "",
    ),
    ("open.bigmodel.cn/api/paas/v4/chat/completions", "zhipu_ai", "openai.chat", "chat", ""),
    ("api.z.ai/api/anthropic/v1/messages", "zhipu_ai", "anthropic.messages", "chat", ""),
    ("api.minimax.io/v1/text/chatcompletion_v2", "minimax", "openai.chat", "chat", ""),
    ("router.huggingface.co/v1/chat/completions", "hugging_face", "openai.chat", "chat", ""),
    ("models.github.ai/inference/chat/completions", "github", "openai.chat", "chat", ""),
    ("models.github.ai/inference/embeddings", "github", "openai.embeddings", "embeddings", ""),
    ("api.githubcopilot.com/chat/completions", "github", "openai.chat", "chat", ""),
    ("api.githubcopilot.com/responses", "github", "openai.responses", "chat", ""),
    (
        "dbc-1.cloud.databricks.com/serving-endpoints/llama/invocations",
        "databricks",
        "databricks.invocations",
        "chat",
        "llama",
    ),
    (
        "gateway.ai.cloudflare.com/v1/acc/gw/anthropic/v1/messages",
        "anthropic",
        "anthropic.messages",
        "chat",
        "",
    ),
    (
        "gateway.ai.cloudflare.com/v1/acc/gw/openai/chat/completions",
        "openai",
        "openai.chat",
        "chat",
        "",
    ),
    (
        "gateway.ai.cloudflare.com/v1/acc/gw/compat/chat/completions",
        "cloudflare",
        "openai.chat",
        "chat",
        "",
    ),
    (
        "gateway.ai.cloudflare.com/v1/acc/gw/azure-openai/me/my-gpt/chat/completions",
        "azure.ai.openai",
        "openai.chat",
        "chat",
        "my-gpt",
    ),
    (
        "generativelanguage.googleapis.com/v1beta/tunedModels/mine-1:generateContent",
        "gcp.gemini",
        "gemini.generate",
        "generate_content",
        "tunedModels/mine-1",
    ),
    ("localhost:8000/v1/chat/completions", "openai", "openai.chat", "chat", ""),
    (
        "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent?key=x",
        "gcp.gemini",
        "gemini.generate",
        "generate_content",
        "gemini-2.5-pro",
    ),
    (
        "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro%3AstreamGenerateContent",
        "gcp.gemini",
        "gemini.generate",
        "generate_content",
        "gemini-2.5-pro",
    ),
    (
        "generativelanguage.googleapis.com/v1beta/models/text-embedding-004:batchEmbedContents",
        "gcp.gemini",
        "gemini.embed",
        "embeddings",
        "text-embedding-004",
    ),
    (
        (
            "aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/"
            "gemini-2.0-flash:generateContent"
        ),
        "gcp.vertex_ai",
        "gemini.generate",
        "generate_content",
        "gemini-2.0-flash",
    ),
    (
        (
            "us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi/"
            "chat/completions"
        ),
        "gcp.vertex_ai",
        "openai.chat",
        "chat",
        "",
    ),
    (
        (
            "us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/"
            "text-embedding-005:predict"
        ),
        "gcp.vertex_ai",
        "gemini.predict",
        "embeddings",
        "text-embedding-005",
    ),
    (
        "cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse",
        "gcp.gemini",
        "gemini.generate",
        "generate_content",
        "",
    ),
    (
        "generativelanguage.googleapis.com/v1beta/interactions",
        "gcp.gemini",
        "gemini.interactions",
        "chat",
        "",
    ),
    (
        "generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        "gcp.gemini",
        "openai.chat",
        "chat",
        "",
    ),
    (
        "bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-3-7-sonnet-20250219-v1%3A0/converse",
        "aws.bedrock",
        "bedrock.converse",
        "chat",
        "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
    ),
    (
        (
            "bedrock-runtime.us-east-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3A"
            "inference-profile%2Fus.amazon.nova-pro-v1%3A0/converse-stream"
        ),
        "aws.bedrock",
        "bedrock.converse",
        "chat",
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
    ),
    (
        "bedrock-runtime.us-east-1.amazonaws.com/model/amazon.titan-text-express-v1/invoke",
        "aws.bedrock",
        "bedrock.invoke",
        "text_completion",
        "amazon.titan-text-express-v1",
    ),
    (
        "bedrock-runtime.us-east-1.amazonaws.com/model/amazon.titan-embed-text-v2:0/invoke",
        "aws.bedrock",
        "bedrock.invoke",
        "embeddings",
        "amazon.titan-embed-text-v2:0",
    ),
    (
        (
            "vpce-0a-1b.bedrock-runtime.eu-west-1.vpce.amazonaws.com/model/meta.llama3-8b-instruct-v1:0"
            "/invoke-with-response-stream"
        ),
        "aws.bedrock",
        "bedrock.invoke",
        "chat",
        "meta.llama3-8b-instruct-v1:0",
    ),
    ("localhost:11434/api/chat", "ollama", "ollama.chat", "chat", ""),
    ("localhost:11434/api/generate", "ollama", "ollama.generate", "text_completion", ""),
    ("localhost:11434/api/embed", "ollama", "ollama.embed", "embeddings", ""),
    ("localhost:11434/api/embeddings", "ollama", "ollama.embed", "embeddings", ""),
    ("api.cohere.com/v2/chat", "cohere", "cohere.chat", "chat", ""),
    ("api.cohere.ai/v1/chat", "cohere", "cohere.chat_v1", "chat", ""),
    ("api.cohere.com/v2/embed", "cohere", "cohere.embed", "embeddings", ""),
    (
        "us-south.ml.cloud.ibm.com/ml/v1/text/chat?version=2024-10-08",
        "ibm.watsonx.ai",
        "openai.chat",
        "chat",
        "",
    ),
    (
        "us-south.ml.cloud.ibm.com/ml/v1/text/generation_stream?version=2024-10-08",
        "ibm.watsonx.ai",
        "watsonx.generation",
        "text_completion",
        "",
    ),
]


@pytest.mark.parametrize(("url", "provider", "api", "operation", "model"), CALLS)
def test_calls(url, provider, api, operation, model):
    host, _, rest = url.partition("/")
    found = find_endpoint("POST", host, "/" + rest)
    assert found is not None
    assert (found.provider, found.api, found.operation) == (provider, api, operation)
    assert found.model == model


NO_CALLS = [
    ("GET", "api.openai.com/v1/models"),
    ("GET", "api.openai.com/v1/chat/completions?limit=2"),
    ("OPTIONS", "api.openai.com/v1/chat/completions"),
    ("POST", "api.openai.com/v1/chat/completions/chatcmpl-1"),
    ("GET", "api.openai.com/v1/responses/resp_1"),
    ("POST", "api.openai.com/v1/responses/resp_1/cancel"),
    ("GET", "api.openai.com/v1/responses/resp_1/input_items"),
    ("POST", "api.openai.com/v1/responses/input_tokens"),
    ("POST", "api.openai.com/v1/files"),
    ("POST", "api.openai.com/v1/batches"),
    ("POST", "api.openai.com/v1/moderations"),
    ("POST", "api.openai.com/v1/images/generations"),
    ("POST", "api.openai.com/v1/audio/transcriptions"),
    ("POST", "api.openai.com/v1/audio/speech"),
    ("POST", "api.openai.com/v1/threads/thread_1/messages"),
    ("POST", "api.openai.com/v1/conversations"),
    ("POST", "api.openai.com/v1/vector_stores/vs_1/search"),
    ("POST", "auth.openai.com/oauth/token"),
    ("POST", "api.anthropic.com/v1/messages/count_tokens?beta=true"),
    ("POST", "api.anthropic.com/v1/messages/batches"),
    ("POST", "api.anthropic.com/api/event_logging/batch"),
    ("POST", "console.anthropic.com/v1/oauth/token"),
    ("GET", "api.anthropic.com/v1/models"),
    ("POST", "api.anthropic.com/v1/files"),
    ("POST", "claude.ai/api/organizations/o/chat_conversations/c/completion"),
    (
        "POST",
        (
            "us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/"
            "count-tokens:rawPredict"
        ),
    ),
    ("POST", "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:countTokens"),
    ("POST", "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:batchGenerateContent"),
    ("POST", "generativelanguage.googleapis.com/v1beta/models/imagen-4.0:predict"),
    ("POST", "generativelanguage.googleapis.com/v1beta/cachedContents"),
    ("GET", "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro"),
    ("POST", "generativelanguage.googleapis.com/upload/v1beta/files"),
    ("POST", "cloudcode-pa.googleapis.com/v1internal:loadCodeAssist"),
    ("POST", "cloudcode-pa.googleapis.com/v1internal:countTokens"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v2/count-tokens"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com/guardrail/g/version/1/apply"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com/model/cohere.rerank-v3-5:0/invoke"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-canvas-v1:0/invoke"),
    ("GET", "bedrock.us-east-1.amazonaws.com/foundation-models"),
    ("GET", "localhost:11434/api/tags"),
    ("POST", "localhost:11434/api/show"),
    ("POST", "localhost:11434/api/pull"),
    ("POST", "api.cohere.com/v1/tokenize"),
    ("POST", "api.cohere.com/v2/rerank"),
    ("POST", "api.mistral.ai/v1/ocr"),
    ("POST", "api.mistral.ai/v1/chat/moderations"),
    ("GET", "openrouter.ai/api/v1/generation?id=gen-1"),
    ("POST", "localhost:3000/mcp"),
    ("POST", "localhost:4318/v1/traces"),
    ("POST", "us.i.posthog.com/batch/"),
    ("POST", "o1.ingest.sentry.io/api/1/envelope/"),
    ("GET", "example.com/"),
    ("GET", "example.com/healthz"),
    ("POST", "example.com/"),
]


@pytest.mark.parametrize(("method", "url"), NO_CALLS)
def test_no_calls(method, url):
    host, _, rest = url.partition("/")
    assert find_endpoint(method, host, "/" + rest) is None


def test_absolute_form_of_a_proxy_request():
    found = find_endpoint("POST", "proxy:3128", "http://api.openai.com/v1/chat/completions")
    assert found is not None
    assert found.provider == "openai"


@pytest.mark.parametrize(
    "url", ["example.com/api/chat", "example.com/v1/messages", "example.com/v1/embeddings"]
)
def test_paths_that_other_programs_use_too_are_uncertain(url):
    host, _, rest = url.partition("/")
    found = find_endpoint("POST", host, "/" + rest)
    assert found is not None
    assert not found.certain


@pytest.mark.parametrize(
    ("authority", "target"),
    [("", ""), ("[::1]:80", "//"), ("h", ":"), ("h", "/a:b"), ("h", "?"), ("h", "http://")],
)
def test_odd_targets_are_no_calls(authority, target):
    assert find_endpoint("POST", authority, target) is None
