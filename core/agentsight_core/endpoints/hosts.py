"""From a host to `gen_ai.provider.name`.

The names of the OTel enumeration (OTel GenAI conventions, `gen_ai.provider.name`) where it has one,
else the company's name in the same style. Aggregators and gateways are named as such: OTel asks for
what the client talks to.
"""

from __future__ import annotations

# Host suffixes, matched at a label boundary; the longest match wins.
_PROVIDERS = {
    "ai21.com": "ai21",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "aliyuncs.com": "alibaba_cloud",
    "anthropic.com": "anthropic",
    "api.cloudflare.com": "cloudflare",
    "azure-api.net": "azure.ai.openai",
    "azuredatabricks.net": "databricks",
    "baseten.co": "baseten",
    "bigmodel.cn": "zhipu_ai",
    "cerebras.ai": "cerebras",
    "chatgpt.com": "openai",
    "claude.com": "anthropic",
    "copilot-proxy.githubusercontent.com": "github",
    "cloud.databricks.com": "databricks",
    "cloudcode-pa.googleapis.com": "gcp.gemini",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "cohere.ai": "cohere",
    "cohere.com": "cohere",
    "deepinfra.com": "deepinfra",
    "deepseek.com": "deepseek",
    "fireworks.ai": "fireworks",
    "gcp.databricks.com": "databricks",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "githubcopilot.com": "github",
    "groq.com": "groq",
    "huggingface.co": "hugging_face",
    "hyperbolic.xyz": "hyperbolic",
    "inference.ai.azure.com": "azure.ai.inference",
    "integrate.api.nvidia.com": "nvidia",
    "jina.ai": "jina_ai",
    "lambda.ai": "lambda",
    "minimax.io": "minimax",
    "minimaxi.com": "minimax",
    "mistral.ai": "mistral_ai",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "models.ai.azure.com": "azure.ai.inference",
    "models.github.ai": "github",
    "models.inference.ai.azure.com": "github",
    "moonshot.ai": "moonshot_ai",
    "moonshot.cn": "moonshot_ai",
    "nebius.com": "nebius",
    "novita.ai": "novita",
    "ollama.com": "ollama",
    "openai.azure.com": "azure.ai.openai",
    "openai.com": "openai",
    "openrouter.ai": "openrouter",
    "perplexity.ai": "perplexity",
    "portkey.ai": "portkey",
    "replicate.com": "replicate",
    "sambanova.ai": "sambanova",
    "services.ai.azure.com": "azure.ai.inference",
    "siliconflow.cn": "siliconflow",
    "siliconflow.com": "siliconflow",
    "together.ai": "together",
    "together.xyz": "together",
    "voyageai.com": "voyage_ai",
    "writer.com": "writer",
    "x.ai": "x_ai",
    "z.ai": "zhipu_ai",
}

# gateway.ai.cloudflare.com/v1/{account}/{gateway}/{one of these}/…
_BEHIND_CLOUDFLARE = {
    "anthropic": "anthropic",
    "aws-bedrock": "aws.bedrock",
    "azure-openai": "azure.ai.openai",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "google-ai-studio": "gcp.gemini",
    "google-vertex-ai": "gcp.vertex_ai",
    "grok": "x_ai",
    "groq": "groq",
    "huggingface": "hugging_face",
    "mistral": "mistral_ai",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity-ai": "perplexity",
    "replicate": "replicate",
    "workers-ai": "cloudflare",
}


def host_of(authority: str) -> str:
    """Return the host of an authority in lower case: no user, no port, no trailing dot."""
    host = authority.rpartition("@")[2].lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].rstrip(".")


def find_provider(host: str, path: str) -> str:
    """Return the provider behind `host`, "" when the host is not a known one."""
    if host == "gateway.ai.cloudflare.com":
        segments = path.strip("/").split("/")
        name = segments[3] if len(segments) > 3 else ""
        return _BEHIND_CLOUDFLARE.get(name, "cloudflare")
    if host.endswith("-aiplatform.googleapis.com"):
        return "gcp.vertex_ai"
    if host.startswith("bedrock-") or ".bedrock-runtime." in host:
        return "aws.bedrock"
    if host.endswith((".services.ai.azure.com", ".cognitiveservices.azure.com")):
        return "azure.ai.openai" if "/openai/" in path else "azure.ai.inference"
    while host:
        if host in _PROVIDERS:
            return _PROVIDERS[host]
        host = host.partition(".")[2]
    return ""
