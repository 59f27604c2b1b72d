"""Reads models.dev (MIT): `api.json`, or a git repository of it, where each model of each provider is a TOML file that may
point to the maker's model (`base_model`)."""

import io
import json
import subprocess
import tarfile
import tomllib
from decimal import Decimal
from pathlib import Path

from .providers import MODELS_DEV_KINDS
from .record import Period, Record, exact

SOURCE = "models.dev"

MEMBERS = {
    "input": "input",
    "output": "output",
    "cache_read": "cached_read",
    "cache_write": "cache_write",
    "reasoning": "reasoning",
    "input_audio": "audio_input",
    "output_audio": "audio_output",
}


def read(path, left_out):
    """(records, version text) of an `api.json` file or of a git repository."""
    path = Path(path)
    if path.is_dir():
        return read_repository(path, left_out)
    providers = json.loads(path.read_bytes(), parse_float=Decimal, parse_int=Decimal)
    out = []
    for provider in sorted(providers):
        for model, entry in sorted(providers[provider].get("models", {}).items()):
            found = record(provider, model, entry, None, left_out)
            if found:
                out.append(found)
    return out, "api.json"


def read_repository(path, left_out):
    def git(*args):
        return subprocess.run(["git", "-C", str(path), *args], check=True, capture_output=True).stdout

    commit = git("log", "-1", "--format=%H %cs").decode().strip()
    files = {}
    with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD", "models", "providers"))) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".toml"):
                raw = archive.extractfile(member).read().decode()
                files[member.name] = tomllib.loads(raw, parse_float=Decimal)
            elif member.issym() and member.name.endswith(".toml"):
                files[member.name] = str(Path(member.name).parent / member.linkname)
    out = []
    for name in sorted(files):
        parts = name.split("/", 3)
        if len(parts) != 4 or parts[0] != "providers" or parts[2] != "models":
            continue
        entry = files[name]
        if not isinstance(entry, dict):
            continue  # a link: the same facts under another provider
        base_name = entry.get("base_model")
        base = files.get(f"models/{base_name}.toml", {}) if base_name else {}
        if not isinstance(base, dict):
            base = {}
        merged = {**base, **entry, "limit": {**base.get("limit", {}), **entry.get("limit", {})}}
        for omitted in entry.get("base_model_omit", []):
            table, _, member = omitted.rpartition(".")
            (merged.get(table, {}) if table else merged).pop(member, None)
        found = record(parts[1], parts[3].removesuffix(".toml"), merged, base_name, left_out)
        if found:
            out.append(found)
    return out, f"commit {commit}"


def record(provider, model, entry, base_model, left_out):
    kind = MODELS_DEV_KINDS.get(provider)
    if kind is None:
        return None
    found = Record(provider=kind, model=model)
    if base_model and "/" in base_model:
        found.maker, found.name = base_model.split("/", 1)
    modalities = entry.get("modalities", {})
    found.modalities_in = set(modalities.get("input", []))
    found.modalities_out = set(modalities.get("output", []))
    if "embed" in model:
        found.mode = "embedding"
    elif "text" in found.modalities_out:
        found.mode = "chat"
    elif found.modalities_out & {"image", "video"}:
        found.mode = "image" if "image" in found.modalities_out else "video"
    elif "audio" in found.modalities_out:
        found.mode = "speech"
    limit = entry.get("limit", {})
    found.context, found.input_max, found.output_max = (
        int(limit[name]) if limit.get(name) else None for name in ("context", "input", "output")
    )
    for member, capability in (
        ("tool_call", "tools"),
        ("structured_output", "structured_output"),
        ("reasoning", "reasoning"),
    ):
        if member in entry:
            found.capabilities[capability] = bool(entry[member])
    if found.modalities_in:
        found.capabilities["vision"] = "image" in found.modalities_in
        found.capabilities["pdf"] = "pdf" in found.modalities_in
    found.deprecated = entry.get("status") == "deprecated"
    cost = entry.get("cost")
    if cost:
        found.periods = prices(f"{provider}/{model}", cost, left_out)
    return found


def prices(key, cost, left_out):
    period = Period(slots=slots(cost))
    if not period.slots:
        return []
    for tier in cost.get("tiers", []):
        size = tier.get("tier", {}).get("size")
        if size is None:
            left_out.add(SOURCE, f"{key} tiers", "tiers by something else than input tokens")
            continue
        period.above[int(size)] = slots(tier)
    over = cost.get("context_over_200k")
    if over and not period.above:
        period.above[200_000] = slots(over)
    period.above = {tokens: period.above[tokens] for tokens in sorted(period.above)}
    return [period]


def slots(cost):
    return {slot: exact(slot, Decimal(cost[member])) for member, slot in MEMBERS.items() if member in cost}
