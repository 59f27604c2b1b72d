"""Which provider of a source is which provider kind of Penstock, and which of them make models."""

# Kinds that more than one source knows under other names. A name that is not here is used as it is, with `-` as `_`.
LITELLM_KINDS = {
    "amazon_nova": "amazon_nova",
    "azure": "azure_openai",
    "azure_ai": "azure_openai",
    "azure_text": "azure_openai",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "bedrock_mantle": "bedrock_mantle",
    "bigmodel": "bigmodel",
    "clf_ai_gateway": "cloudflare",
    "codestral": "codestral",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "friendliai": "friendli",
    "jina_ai": "jina",
    "lambda_ai": "lambda",
    "meta": "meta",
    "meta_llama": "meta",
    "replicate": "replicate",
    "text-completion-codestral": "codestral",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "vertex",
    "xiaomi_mimo": "xiaomi",
    "zai": "zhipu",
}

GENAI_KINDS = {
    "aws": "bedrock",
    "azure": "azure_openai",
    "google": "gemini",
    "moonshotai": "moonshot",
    "voyageai": "voyage",
    "x-ai": "xai",
    "zai": "zhipu",
    "zhipuai": "bigmodel",
}

# Only the kinds that have an entry of their own in the gateway: models.dev also lists several hundred resellers' rows.
MODELS_DEV_KINDS = {
    "alibaba": "dashscope",
    "amazon-bedrock": "bedrock",
    "anthropic": "anthropic",
    "azure": "azure_openai",
    "baseten": "baseten",
    "cerebras": "cerebras",
    "cloudflare-workers-ai": "cloudflare",
    "cohere": "cohere",
    "databricks": "databricks",
    "deepinfra": "deepinfra",
    "deepseek": "deepseek",
    "fireworks-ai": "fireworks",
    "friendli": "friendli",
    "google": "gemini",
    "google-vertex": "vertex",
    "google-vertex-anthropic": "vertex",
    "groq": "groq",
    "huggingface": "huggingface",
    "inception": "inception",
    "llama": "meta",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshotai": "moonshot",
    "nebius": "nebius",
    "novita-ai": "novita",
    "nvidia": "nvidia_nim",
    "openai": "openai",
    "openrouter": "openrouter",
    "ovhcloud": "ovhcloud",
    "perplexity": "perplexity",
    "scaleway": "scaleway",
    "siliconflow": "siliconflow",
    "stepfun-ai": "stepfun",
    "tencent-tokenhub": "tencent",
    "togetherai": "together",
    "upstage": "upstage",
    "vercel": "vercel_ai_gateway",
    "xai": "xai",
    "xiaomi": "xiaomi",
    "zai": "zhipu",
    "zhipuai": "bigmodel",
}

# Sold by seat or plan, or a product without an API key: their token prices are not what a call costs.
NOT_METERED = {
    "agentcore",
    "chatgpt",
    "cursor",
    "github-copilot",
    "github_copilot",
    "microsoft_365_copilot",
    "opencode_go",
    "strands_decider",
}

# Run by the operator: no price is no price, and zero is the truth.
FREE_KINDS = {"lemonade", "ollama"}

# Prefixes that LiteLLM puts before the provider's own model id, by its provider name; the provider name itself always
# counts.
LITELLM_PREFIXES = {
    "azure_text": ["azure"],
    "bedrock_converse": ["bedrock", "bedrock/converse"],
    "codestral": ["codestral"],
    "cohere_chat": ["cohere"],
    "fireworks_ai-embedding-models": ["fireworks_ai"],
    "text-completion-codestral": ["text-completion-codestral"],
    "amazon_nova": ["amazon-nova"],
    "meta_llama": ["meta_llama"],
}


def litellm_kind(provider):
    """Penstock's kind for LiteLLM's `litellm_provider`, or None for one that is not metered."""
    if provider in NOT_METERED:
        return None
    if provider.startswith("vertex_ai"):
        return "vertex"
    return LITELLM_KINDS.get(provider, provider.replace("-", "_"))


def genai_kind(provider):
    """Penstock's kind for the provider id of genai-prices, or None for one that is not metered."""
    if provider in NOT_METERED:
        return None
    if provider.startswith("huggingface_"):
        return "huggingface"
    return GENAI_KINDS.get(provider, provider.replace("-", "_"))


def litellm_prefixes(provider):
    """What may stand before the provider's own id in LiteLLM's key, longest first."""
    own = [provider] + LITELLM_PREFIXES.get(provider, [])
    if provider.startswith("vertex_ai"):
        own.append("vertex_ai")
    return sorted({p + "/" for p in own}, key=len, reverse=True)
