"""Who made a model and what its maker calls it, from the ids under which providers offer it.

A provider's id carries more than the name: a region, the maker, a date, the form of the weights, a serving variant.
Those are taken off, so that one model counts once however many providers offer it.
"""

import re
from collections import Counter

# What stands before the name, as an organisation or a dotted prefix -> the maker.
ORGANISATIONS = {
    "01-ai": "01ai",
    "01ai": "01ai",
    "ai21": "ai21",
    "ai21labs": "ai21",
    "aion-labs": "aion-labs",
    "alibaba": "alibaba",
    "alibaba-nlp": "alibaba",
    "allenai": "allenai",
    "amazon": "amazon",
    "anthropic": "anthropic",
    "arcee-ai": "arcee",
    "arcee": "arcee",
    "baai": "baai",
    "baidu": "baidu",
    "bytedance": "bytedance",
    "bytedance-seed": "bytedance",
    "codellama": "meta",
    "cognitivecomputations": "cognitivecomputations",
    "cohere": "cohere",
    "cohereforai": "cohere",
    "coherelabs": "cohere",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "deepseek-ai": "deepseek",
    "essentialai": "essentialai",
    "google": "google",
    "google-deepmind": "google",
    "ibm": "ibm",
    "ibm-granite": "ibm",
    "inception": "inception",
    "inclusionai": "inclusionai",
    "inflection": "inflection",
    "intfloat": "intfloat",
    "kwaipilot": "kuaishou",
    "kuaishou": "kuaishou",
    "liquid": "liquid",
    "liquidai": "liquid",
    "meituan": "meituan",
    "meituan-longcat": "meituan",
    "meta": "meta",
    "meta-llama": "meta",
    "meta-models": "meta",
    "microsoft": "microsoft",
    "minimax": "minimax",
    "minimaxai": "minimax",
    "mistral": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshot",
    "moonshotai": "moonshot",
    "morph": "morph",
    "nousresearch": "nousresearch",
    "nvidia": "nvidia",
    "openai": "openai",
    "perplexity": "perplexity",
    "perplexity-ai": "perplexity",
    "poolside": "poolside",
    "qwen": "alibaba",
    "rekaai": "reka",
    "sao10k": "sao10k",
    "sakana": "sakana",
    "snowflake": "snowflake",
    "stability": "stability",
    "stabilityai": "stability",
    "stepfun": "stepfun",
    "stepfun-ai": "stepfun",
    "switchpoint": "switchpoint",
    "tencent": "tencent",
    "thedrummer": "thedrummer",
    "thudm": "zhipu",
    "tngtech": "tng",
    "tiiuae": "tii",
    "twelvelabs": "twelvelabs",
    "upstage": "upstage",
    "us-ptm": "writer",
    "voyage": "voyage",
    "writer": "writer",
    "x-ai": "xai",
    "xai": "xai",
    "xai-org": "xai",
    "xiaomi": "xiaomi",
    "xiaomimimo": "xiaomi",
    "z-ai": "zhipu",
    "zai": "zhipu",
    "zai-org": "zhipu",
    "zhipu": "zhipu",
    "zhipuai": "zhipu",
}

# The start of a name -> the maker, where nothing before the name says it. First match counts.
FAMILIES = [
    (r"claude", "anthropic"),
    (r"deepseek|dsv\d", "deepseek"),
    (r"(chat)?gpt-?(3|4|5|6|oss|image|realtime|audio|live|chat)|o[1345](-|$)|codex|davinci|babbage|text-embedding-(3|ada)", "openai"),
    (r"dall-e|whisper|sora|tts-1|omni-moderation|text-moderation|computer-use-preview", "openai"),
    (r"gemini|gemma|palm|learnlm|imagen|veo-|lyria|codegemma|medgemma|text-(bison|unicorn|multilingual-embedding)", "google"),
    (r"(meta-)?(code-?)?llama|muse-", "meta"),
    (r"(open-)?(mistral|mixtral|codestral|ministral|pixtral|magistral|devstral|voxtral|mathstral|leanstral)", "mistral"),
    (r"qwen|qwq|qvq|wan\d|tongyi|gte-qwen", "alibaba"),
    (r"glm|chatglm|cogview|cogvideo|codegeex|autoglm", "zhipu"),
    (r"kimi|moonshot", "moonshot"),
    (r"minimax|abab|hailuo", "minimax"),
    (r"command|c4ai|aya|embed-(english|multilingual|v\d)|rerank-(english|multilingual|v\d)|north-mini", "cohere"),
    (r"grok", "xai"),
    (r"nova-(2|micro|lite|pro|premier|canvas|reel|sonic|act)|titan", "amazon"),
    (r"phi-?\d|mai-|wizardlm", "microsoft"),
    (r"(llama-?\d[\d.]*-)?nemotron|nvidia-nemotron|nv-", "nvidia"),
    (r"granite", "ibm"),
    (r"jamba|j2-", "ai21"),
    (r"sonar|pplx", "perplexity"),
    (r"doubao|seed(-|ream|ance)", "bytedance"),
    (r"ernie", "baidu"),
    (r"hunyuan|hy\d", "tencent"),
    (r"step-?\d", "stepfun"),
    (r"mimo-", "xiaomi"),
    (r"yi-", "01ai"),
    (r"dbrx", "databricks"),
    (r"hermes", "nousresearch"),
    (r"olmo|molmo|tulu", "allenai"),
    (r"palmyra", "writer"),
    (r"reka", "reka"),
    (r"solar", "upstage"),
    (r"falcon", "tii"),
    (r"lfm", "liquid"),
    (r"mercury", "inception"),
    (r"trinity|virtuoso|coder-large|maestro", "arcee"),
    (r"longcat", "meituan"),
    (r"ling-|ring-", "inclusionai"),
    (r"arctic|snowflake", "snowflake"),
    (r"voyage|rerank-(1|2)", "voyage"),
    (r"bge-", "baai"),
    (r"stable-|sd3|sdxl", "stability"),
    (r"inkling", "thinkingmachines"),
    (r"gte-", "alibaba"),
    (r"nano-banana", "google"),
    (r"flux", "black_forest_labs"),
]
FAMILIES = [(re.compile(pattern), maker) for pattern, maker in FAMILIES]

# Providers that serve only what they make, so that an id without any other sign is theirs.
OWN_MODELS = {
    "anthropic": "anthropic",
    "openai": "openai",
    "gemini": "google",
    "mistral": "mistral",
    "cohere": "cohere",
    "xai": "xai",
    "deepseek": "deepseek",
    "moonshot": "moonshot",
    "minimax": "minimax",
    "zhipu": "zhipu",
    "bigmodel": "zhipu",
    "perplexity": "perplexity",
    "ai21": "ai21",
    "voyage": "voyage",
    "stepfun": "stepfun",
    "xiaomi": "xiaomi",
    "inception": "inception",
    "upstage": "upstage",
    "meta": "meta",
    "amazon_nova": "amazon",
    "elevenlabs": "elevenlabs",
    "deepgram": "deepgram",
    "assemblyai": "assemblyai",
    "stability": "stability",
    "black_forest_labs": "black_forest_labs",
    "gigachat": "sber",
    "codestral": "mistral",
    "morph": "morph",
    "jina": "jina",
    "soniox": "soniox",
    "recraft": "recraft",
    "runwayml": "runway",
    "v0": "vercel",
    "cognition": "cognition",
    "sarvam": "sarvam",
    "arcee": "arcee",
}

# Providers whose ids are always organisation/name, so that an unknown organisation is a maker.
BY_ORGANISATION = {
    "baseten",
    "deepinfra",
    "doubleword",
    "huggingface",
    "nebius",
    "novita",
    "openrouter",
    "siliconflow",
    "together",
    "vercel_ai_gateway",
}

SNAPSHOT = re.compile(r"-(20\d\d-?[01]\d-?[0-3]\d|2[3-9][01]\d[0-3]\d)(?=-|$)")
SHORT_SNAPSHOT = re.compile(r"-[01]\d[0-3]\d$")
WEIGHTS = re.compile(r"-(fp4|fp8|fp16|nvfp4|mxfp4|bf16|int4|int8|awq|gptq|gguf|q\d(-k-m|-0)?|dynamic|fp8-throughput)(?=-|$)")
SERVING = re.compile(r"-(maas|tee|hf|latest|lora|fp8-fast|throughput|reference|serverless|default)$")
BEDROCK_VERSION = re.compile(r"-v\d+(:\d+)*(:\d+k|:mm)?$|-\d+:\d+$|:\d+$")
BEDROCK_GEOGRAPHY = re.compile(r"^(us|eu|apac|au|jp|ca|in|sa|kr|us-gov|global)\.")


def split(provider, model):
    """(organisation or None, bare name) of a provider's id, in small letters."""
    name = model.lower().strip()
    organisation = None
    if provider in {"bedrock", "bedrock_mantle", "oci"}:
        name = BEDROCK_VERSION.sub("", BEDROCK_GEOGRAPHY.sub("", name))
        head, dot, rest = name.partition(".")
        if dot and head in ORGANISATIONS:
            organisation, name = head, rest
    if "/" in name:
        parts = [part for part in name.split("/") if part]
        name = parts[-2] if parts[-1] == "community" and len(parts) > 1 else parts[-1]
        known = [part.lstrip("@~") for part in parts[:-1] if part.lstrip("@~") in ORGANISATIONS]
        unknown = [part for part in parts[:-1] if not part.startswith("@")]
        organisation = organisation or (known[-1] if known else unknown[-1] if unknown else None)
    if provider == "databricks":
        name = name.removeprefix("databricks-").removeprefix("system.ai.")
    if provider == "azure_openai":
        name = name.removeprefix("fw-").removeprefix("cohere-")
    if provider == "gradient_ai":
        for prefix in ("anthropic-", "openai-", "alibaba-", "deepseek-ai-", "mistral-ai-"):
            name = name.removeprefix(prefix)
    if provider == "ollama":
        name = name.replace(":", "-")
    return organisation, name


def bare(name):
    """The name without what a provider, not the maker, puts to it."""
    name = re.sub(r"[@:].*$", "", name.removeprefix("ft:"))
    name = name.replace("_", "-").replace(" ", "-")
    name = re.sub(r"(?<=\d)p(?=\d)", ".", name)
    name = name.removeprefix("meta-llama-") if name.startswith("meta-llama-llama") else name
    name = re.sub(r"^meta-llama-(?=\d)", "llama-", name)
    name = re.sub(r"^(llama)-?v?(?=\d)", r"\1-", name)
    name = re.sub(r"^code-llama", "codellama", name)
    name = re.sub(r"^qwen-(?=\d)", "qwen", name)
    name = re.sub(r"^gpt-35", "gpt-3.5", name)
    name = re.sub(r"^claude-(\d(?:[.-]\d)?)-(opus|sonnet|haiku)", r"claude-\2-\1", name)
    before = None
    while before != name:
        before = name
        name = SNAPSHOT.sub("", name)
        name = WEIGHTS.sub("", name)
        name = SERVING.sub("", name)
    return name.strip("-.")


def fold(name):
    """The form in which two spellings of one name are equal."""
    return re.sub(r"[.\s_-]+", "-", name)


def identify(provider, model):
    """(maker or None, bare name) from the id alone."""
    organisation, name = split(provider, model)
    name = bare(name)
    maker = ORGANISATIONS.get(organisation)
    if maker is None and organisation and provider in BY_ORGANISATION:
        maker = re.sub(r"[^a-z0-9-]+", "-", organisation).strip("-")
    if maker is None:
        maker = next((made for pattern, made in FAMILIES if pattern.match(name)), None)
    if maker is None:
        maker = OWN_MODELS.get(provider)
    if maker == "deepseek" and re.match(r"[rv]\d", name):
        name = "deepseek-" + name
    if maker in {"openai", "xai"}:
        name = SHORT_SNAPSHOT.sub("", name)
    return maker, name


# How a provider serves a model, put after its name: faster or cheaper machines, other hours, another region.
VARIANT = re.compile(r"-(fast|turbo|tput|cloud|spot|us|p|ultra|ultrafast|basic|lite|nitro|dst|f2)$")
# These makers sell models of their own under such names.
OWN_VARIANTS = {"openai", "xai", "google", "amazon", "alibaba", "zhipu", "tencent", "baidu", "minimax", "mistral"}
OPEN_WEIGHTS = re.compile(r"-\d+(\.\d+)?b(-|$)|^deepseek-[vr]\d|^claude-")


def assign(records):
    """Sets maker and name of every record: one name for all ids that differ only in spelling, the maker's own spelling
    where its own provider offers the model, else the commonest."""
    spellings = {}
    plain = {(maker, fold(name)) for maker, name in (identify(r.provider, r.stands_for or r.model) for r in records)}
    for record in records:
        maker, name = identify(record.provider, record.stands_for or record.model)
        if record.maker:
            maker = ORGANISATIONS.get(record.maker, record.maker)
        while (served := VARIANT.sub("", name)) != name:
            if maker in OWN_VARIANTS and not OPEN_WEIGHTS.search(name):
                break
            if (maker, fold(served)) not in plain:
                break
            name = served
        record.maker, record.name = maker, name
        record.own = maker is not None and OWN_MODELS.get(record.provider) == maker
        spellings.setdefault((maker, fold(name)), Counter())[name] += 1000 if record.own else 1
    for record in records:
        seen = spellings[(record.maker, fold(record.name))]
        record.name = min(seen, key=lambda name: (-seen[name], len(name), name))
