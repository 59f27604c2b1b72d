"""Reads LiteLLM's price map (`model_prices_and_context_window*.json`, MIT): explicit ids, many price members, floats."""

import json
import re
from decimal import Decimal

from .providers import FREE_KINDS, litellm_kind, litellm_prefixes
from .record import Period, Record, exact

SOURCE = "litellm"

MODES = {
    "chat": "chat",
    "responses": "chat",
    "completion": "completion",
    "embedding": "embedding",
    "image_generation": "image",
    "image_edit": "image",
    "audio_speech": "speech",
    "audio_transcription": "transcription",
    "rerank": "rerank",
    "moderation": "moderation",
    "realtime": "realtime",
    "video_generation": "video",
    "ocr": "ocr",
}

TOKEN_MEMBERS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_read",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "cache_read_input_audio_token_cost": "audio_cached_read",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_image_token": "image_input",
    "cache_read_input_image_token_cost": "image_cached_read",
    "output_cost_per_image_token": "image_output",
    "input_cost_per_video_token": "video_input",
    "output_cost_per_video_token": "video_output",
}
SERVICES = {None: "", "_batches": "batch_", "_flex": "flex_", "_priority": "priority_"}
MEMBER = re.compile(
    r"(?P<base>[a-z_]+?)(?P<ttl>_above_1hr)?(?:_above_(?P<k>\d+)k_tokens)?(?P<service>_batches|_flex|_priority)?"
)

CAPABILITIES = {
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_tool_choice": "tool_choice",
    "supports_response_schema": "structured_output",
    "supports_vision": "vision",
    "supports_pdf_input": "pdf",
    "supports_reasoning": "reasoning",
    "supports_prompt_caching": "prompt_caching",
    "supports_native_streaming": "streaming",
    "supports_system_messages": "system_messages",
    "supports_assistant_prefill": "prefill",
    "supports_web_search": "web_search",
    "supports_computer_use": "computer_use",
}
MODALITY_FLAGS = {
    "supports_vision": ("in", "image"),
    "supports_pdf_input": ("in", "pdf"),
    "supports_audio_input": ("in", "audio"),
    "supports_video_input": ("in", "video"),
    "supports_audio_output": ("out", "audio"),
}

# An AWS region or an Azure data zone before the model id.
REGION = re.compile(r"(?:[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d|eu|us|us-gov|apac|global|global-standard)/")
REGIONAL_KINDS = {"azure_openai", "bedrock", "bedrock_mantle"}
SIZE_CLASS = re.compile(r"(together-ai|fireworks-ai)-.*\d+(\.\d+)?[bm]\b|fireworks-ai-(default|moe|above|up-to)")
PICTURE_VARIANT = re.compile(r"(^|/)(\d+|max)-x-(\d+|max)/")


def million(value):
    return value * 1_000_000


def read(raw, left_out):
    """The records of the file's bytes."""
    entries = json.loads(raw, parse_float=Decimal, parse_int=Decimal)
    records = {}
    for key in sorted(entries):
        record = read_entry(key, entries, left_out)
        if record is None:
            continue
        # The id with the provider's prefix is the newer way; one without it only fills in.
        known = records.get(record.key)
        if known is None or (not known.periods and record.periods):
            records[record.key] = record
    return list(records.values())


def read_entry(key, entries, left_out):
    entry, seen, target = entries[key], {key}, None
    while "alias_of" in entry:
        target = entry["alias_of"]
        if target in seen or target not in entries:
            left_out.add(SOURCE, key, f"is another name of {target}, which is not there")
            return None
        seen.add(target)
        entry = entries[target]
    provider = entry.get("litellm_provider")
    if not isinstance(provider, str) or provider.startswith("one of") or key == "sample_spec":
        return None
    kind = litellm_kind(provider)
    if kind is None:
        left_out.add(SOURCE, key, "sold by seat or plan, not by what a call uses")
        return None
    mode = MODES.get(entry.get("mode", "chat"))
    if mode is None:
        left_out.add(SOURCE, key, f"mode {entry.get('mode')} is not one that the gateway serves")
        return None
    if "commitment" in key:
        left_out.add(SOURCE, key, "provisioned throughput is paid by time, not by call")
        return None
    if PICTURE_VARIANT.search(key):
        left_out.add(SOURCE, key, "a price by image size or quality")
        return None
    if SIZE_CLASS.match(key) or key.startswith("ft:"):
        left_out.add(SOURCE, key, "a price class, not a model")
        return None

    model = without_prefix(provider, key)
    if model.startswith("claude_platform/"):
        kind, model = "anthropic_aws", model.removeprefix("claude_platform/")
    if kind == "bedrock":
        model = model.removeprefix("converse/").removeprefix("invoke/")
    region = ""
    if kind in REGIONAL_KINDS and (found := REGION.match(model)):
        region, model = found.group()[:-1], model[found.end():]
    if kind == "fireworks" and "/" not in model:
        model = "accounts/fireworks/models/" + model

    record = Record(provider=kind, model=model, region=region, mode=mode)
    record.stands_for = target and without_prefix(provider, target)
    record.periods = read_periods(key, kind, mode, entry, left_out)
    limits = [number(entry.get(m)) for m in ("max_input_tokens", "max_output_tokens")]
    record.context, record.output_max = limits
    for flag, capability in CAPABILITIES.items():
        if flag in entry:
            record.capabilities[capability] = bool(entry[flag])
    if entry.get("mode") == "responses":
        record.capabilities["responses_only"] = True
    record.modalities_in = set(entry.get("supported_modalities", []))
    record.modalities_out = set(entry.get("supported_output_modalities", []))
    for flag, (side, modality) in MODALITY_FLAGS.items():
        if entry.get(flag):
            (record.modalities_in if side == "in" else record.modalities_out).add(modality)
    record.retires = date(key, entry.get("deprecation_date"), left_out)
    return record


def without_prefix(provider, key):
    """The provider's own id of a key."""
    prefix = next((prefix for prefix in litellm_prefixes(provider) if key.startswith(prefix)), "")
    return key[len(prefix):]


def number(value):
    return int(value) if isinstance(value, Decimal) and value > 0 else None


def date(key, value, left_out):
    if not value:
        return None
    if re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", str(value)):
        return value
    left_out.add(SOURCE, f"{key} deprecation_date", f"{value!r} is no date")
    return None


def read_periods(key, kind, mode, entry, left_out):
    base = Period()
    tiers = {}

    def put(tokens, slot, value):
        kept = exact(slot, value)
        left_out.rounded += kept != value
        (base.slots if tokens == 0 else tiers.setdefault(tokens, {}))[slot] = kept

    if (hit := entry.get("input_cost_per_token_cache_hit")) is not None:
        put(0, "cached_read", million(hit))
    for member, value in entry.items():
        if not isinstance(value, Decimal):
            continue
        found = MEMBER.fullmatch(member)
        slot = TOKEN_MEMBERS.get(found["base"]) if found else None
        if slot is None:
            continue
        if found["ttl"]:
            if slot != "cache_write":
                continue
            slot = "cache_write_1h"
        put(int(found["k"] or 0) * 1000, SERVICES[found["service"]] + slot, million(value))
    for tier in entry.get("tiered_pricing", []):
        if "range" not in tier:
            left_out.add(SOURCE, f"{key} tiered_pricing", "tiers by something else than input tokens")
            continue
        for member, slot in TOKEN_MEMBERS.items():
            if member in tier:
                put(int(tier["range"][0]), slot, million(tier[member]))
    read_unit_prices(key, mode, entry, put, left_out)

    base.above = {tokens: tiers[tokens] for tokens in sorted(tiers)}
    if not base.slots and not base.above:
        return []
    if base.is_zero() and mode != "moderation" and kind not in FREE_KINDS and not key.endswith((":free", "-free")):
        left_out.add(SOURCE, f"{key} prices", "all zero, which here also stands for not known")
        return []
    return [base] + off_peak(base, entry.get("off_peak_pricing"), put)


def read_unit_prices(key, mode, entry, put, left_out):
    """Prices by image, second, page, query, character: which member means what depends on the mode."""
    def take(slot, members, scale=1):
        for member in members:
            if member in entry and entry[member] is not None:
                put(0, slot, entry[member] * scale)
                return True
        return False

    if mode == "image" and "output_cost_per_image_token" not in entry:
        if not take("image", ["output_cost_per_image", "input_cost_per_image"]):
            if any("per_pixel" in member for member in entry):
                left_out.add(SOURCE, f"{key} per pixel", "a price by image size or quality")
    elif mode == "embedding":
        take("image", ["input_cost_per_image"])
    elif mode == "speech":
        take("character", ["input_cost_per_character"], 1_000_000) or take("second", ["output_cost_per_second"])
    elif mode == "transcription":
        take("second", ["input_cost_per_second", "input_cost_per_audio_per_second", "output_cost_per_second"])
    elif mode == "video":
        if not take("second", ["output_cost_per_video_per_second", "output_cost_per_second"]):
            if any(member.startswith("output_cost_per_second_") for member in entry):
                left_out.add(SOURCE, f"{key} per second", "a price by resolution")
    elif mode == "ocr":
        take("page", ["ocr_cost_per_page"])
        take("batch_page", ["ocr_cost_per_page_batches"])
    elif mode == "rerank":
        take("query", ["input_cost_per_query"])
    take("request", ["input_cost_per_request"])
    by_context = entry.get("search_context_cost_per_query")
    if isinstance(by_context, dict) and mode == "chat":
        if len(set(by_context.values())) == 1:
            put(0, "query", next(iter(by_context.values())))
        elif by_context:
            left_out.add(SOURCE, f"{key} search_context_cost_per_query", "a search price by context size")


def off_peak(base, pricing, put):
    """The cheaper hours as periods of their own, which stand after the base period and so win while they last."""
    if not pricing:
        return []
    slots = dict(base.slots)
    for member, slot in TOKEN_MEMBERS.items():
        if member in pricing:
            slots[slot] = exact(slot, million(pricing[member]))
    offset = 480 if pricing.get("weekday_timezone") == "Asia/Shanghai" else 0
    periods = []
    for window in pricing["windows"]:
        hours = window["hours_utc"]
        hours = [hours] if isinstance(hours, str) else list(hours)
        periods.append(
            Period(
                slots=dict(slots),
                above=base.above,
                hours=[] if hours == ["00:00-00:00"] else [h.replace("-00:00", "-24:00") for h in hours],
                weekdays=[int(day) for day in window.get("weekdays", [])],
                weekdays_offset=offset,
            )
        )
    return periods
