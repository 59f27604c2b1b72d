"""Reads genai-prices (`genai_prices/data.py`, MIT): exact decimals with the dates from which they hold, and patterns of
model ids. The file is Python; it is parsed and never run."""

import ast
import re
from decimal import Decimal

from . import names
from .providers import genai_kind
from .record import Period, Record, exact, per_second

SOURCE = "genai-prices"

# Their price member -> (slot, factor from their unit to ours).
MEMBERS = {
    "input_mtok": ("input", 1),
    "output_mtok": ("output", 1),
    "cache_read_mtok": ("cached_read", 1),
    "cache_write_mtok": ("cache_write", 1),
    "cache_write_1h_mtok": ("cache_write_1h", 1),
    "output_reasoning_mtok": ("reasoning", 1),
    "input_audio_mtok": ("audio_input", 1),
    "cache_audio_read_mtok": ("audio_cached_read", 1),
    "output_audio_mtok": ("audio_output", 1),
    "input_image_mtok": ("image_input", 1),
    "cache_image_read_mtok": ("image_cached_read", 1),
    "output_image_mtok": ("image_output", 1),
    "input_video_mtok": ("video_input", 1),
    "output_video_mtok": ("video_output", 1),
    "input_mchars": ("character", 1),
    "web_searches_kcount": ("query", Decimal("0.001")),
    "requests_kcount": ("request", Decimal("0.001")),
    "input_document_kpages": ("page", Decimal("0.001")),
    "audio_hours": ("second", None),
    "input_audio_hours": ("second", None),
}

SERVICES = {
    ("processing", "batch"): "batch_",
    ("service_tier", "flex"): "flex_",
    ("service_tier", "priority"): "priority_",
    ("speed", "fast"): "fast_",
}


# Labels of groups of ids.
NO_IDS = ("regional.",)


class Call:
    """A constructor call of the file: its name, its positional and its named arguments."""

    def __init__(self, name, args, named):
        self.name, self.args, self.named = name, args, named

    def get(self, name, default=None):
        return self.named.get(name, default)


def literal(node):
    """The value of an expression made of constants, lists, dicts and constructor calls only."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {literal(k): literal(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        args = [literal(arg) for arg in node.args]
        if name == "Decimal":
            return Decimal(args[0])
        return Call(name, args, {k.arg: literal(k.value) for k in node.keywords})
    raise ValueError(f"line {node.lineno}: an expression that is not data")


class GenaiModel:
    """One model of genai-prices: the ids that it matches and its prices."""

    def __init__(self, kind, call, today, left_out):
        self.id = call.get("id")
        self.kind = kind
        self.name = call.get("name")
        self.match = call.get("match")
        self.context = call.get("context_window")
        self.deprecated = bool(call.get("deprecated"))
        self.periods = periods(f"{kind}/{self.id}", call, today, left_out)

    def matches(self, model):
        return is_match(self.match, model.lower())


def is_match(clause, model):
    name = clause.name
    if name == "ClauseEquals":
        return model == clause.get("equals").lower()
    if name == "ClauseStartsWith":
        return model.startswith(clause.get("starts_with").lower())
    if name == "ClauseEndsWith":
        return model.endswith(clause.get("ends_with").lower())
    if name == "ClauseContains":
        return clause.get("contains").lower() in model
    if name == "ClauseRegex":
        return re.search(clause.get("regex"), model) is not None
    if name == "ClauseOr":
        return any(is_match(c, model) for c in clause.get("or_"))
    if name == "ClauseAnd":
        return all(is_match(c, model) for c in clause.get("and_"))
    raise ValueError(f"unknown match clause {name}")


def literal_ids(clause):
    """The ids that a match names in full."""
    if clause.name == "ClauseEquals":
        yield clause.get("equals")
    elif clause.name == "ClauseOr":
        for part in clause.get("or_"):
            yield from literal_ids(part)


def read(raw):
    """The `Provider` calls of the file's bytes."""
    for statement in ast.parse(raw).body:
        if isinstance(statement, ast.AnnAssign) and getattr(statement.target, "id", None) == "providers":
            return literal(statement.value)
    raise ValueError("no list named providers")


def models(raw, today, left_out):
    """{(kind, suffix): [GenaiModel, ...]} in the order of the file, which is the order of matching. The suffix is what
    Hugging Face's router takes after a model id to choose who serves it."""
    out = {}
    for provider in read(raw):
        kind = genai_kind(provider.get("id"))
        if kind is None:
            left_out.add(SOURCE, provider.get("id"), "sold by seat or plan, not by what a call uses")
            continue
        for call in provider.get("models", []):
            _, _, suffix = provider.get("id").partition("huggingface_")
            served_by = kind
            if kind == "gemini" and names.identify(kind, call.get("id"))[0] != "google":
                served_by = "vertex"  # Google sells what others make on Vertex AI only
            out.setdefault((served_by, suffix), []).append(GenaiModel(served_by, call, today, left_out))
    return out


def records(by_kind):
    """A record for each id that the file names in full."""
    out = {}
    for (kind, suffix), listed in by_kind.items():
        for model in listed:
            named = sorted(literal_ids(model.match))
            # Where it lists ids, its own id may be only a label of the group.
            for name in named if named and kind == "bedrock" else [model.id, *named]:
                if name.startswith(NO_IDS):
                    continue
                found = next((m for m in listed if m.matches(name)), None)
                if found is model:
                    name = f"{name}:{suffix}" if suffix else name
                    out.setdefault((kind, name.lower()), record(model, name))
    return list(out.values())


def record(model, name):
    """What a genai-prices model says of one of the ids that it matches."""
    return Record(
        provider=model.kind,
        model=name,
        periods=model.periods,
        context=model.context,
        deprecated=model.deprecated,
    )


def periods(key, call, today, left_out):
    prices = call.get("prices")
    entries = prices if isinstance(prices, list) else [Call("ConditionalPrice", [], {"prices": prices})]
    out = []
    for entry in entries:
        constraint = entry.get("constraint") or (entry.args[0] if entry.args else None)
        period = price(key, entry.get("prices"), left_out)
        if constraint is not None and constraint.name == "StartDateConstraint":
            period.valid_from = iso_date(constraint.get("start_date"))
        elif constraint is not None and constraint.name == "TimeOfDateConstraint":
            period.hours = [f"{clock(constraint.get('start_time'))}-{clock(constraint.get('end_time'))}"]
        elif constraint is not None:
            raise ValueError(f"{key}: unknown constraint {constraint.name}")
        out.append(period)
    out = [period for period in out if period.slots]
    # The last one whose condition holds wins, so a later dated price ends the ones before it.
    for at, period in enumerate(out):
        later = [p.valid_from for p in out[at + 1:] if p.valid_from]
        period.valid_until = min(later) if later else None
    if out:
        add_variants(key, call.get("price_variants") or [], out, today, left_out)
    return out


def add_variants(key, variants, out, today, left_out):
    """Prices of other services. A date in the past is that of a check rather than of a change (their comments say so),
    so it counts for the period of today from its first day; a date to come is that of a change."""
    for variant in variants:
        when = tuple(variant.get("when").items())
        service = SERVICES.get(when[0]) if len(when) == 1 else None
        found = price(key, variant.get("prices"), left_out)
        if not found.slots or when == (("service_tier", "default"),):
            continue
        if service is None:
            left_out.add(SOURCE, f"{key} {dict(when)}", "a price by a condition that usage does not tell")
            continue
        constraint = variant.get("constraint")
        start = iso_date(constraint.get("start_date")) if constraint is not None else ""
        for period in out:
            past = period.valid_until is not None and period.valid_until <= today
            if start <= ((period.valid_from or "") if past else max(period.valid_from or "", today)):
                add_service(period, service, found)


def add_service(period, service, found):
    for slot, value in found.slots.items():
        period.slots.setdefault(service + slot, value)
        for tokens in sorted({*period.above, *found.above}):
            # A variant without tiers has one price at every size, so it is said at each border of the standard price.
            tier = found.above.get(tokens, {}).get(slot)
            if tier is None:
                lower = [n for n in found.above if n < tokens and slot in found.above[n]]
                tier = found.above[max(lower)][slot] if lower else value
            period.above.setdefault(tokens, {}).setdefault(service + slot, tier)


def price(key, call, left_out):
    period = Period()
    for member, value in call.named.items():
        if value is None:
            continue
        if member not in MEMBERS:
            left_out.add(SOURCE, f"{key} {member}", "a price of something that usage does not count")
            continue
        slot, factor = MEMBERS[member]

        def ours(amount):
            value = per_second(amount) if factor is None else amount * factor
            kept = exact(slot, value)
            left_out.rounded += kept != value
            return kept

        if isinstance(value, Call):
            period.slots[slot] = ours(value.get("base"))
            for tier in value.get("tiers"):
                period.above.setdefault(tier.get("start"), {})[slot] = ours(tier.get("price"))
        else:
            period.slots[slot] = ours(value)
    period.above = {tokens: period.above[tokens] for tokens in sorted(period.above)}
    return period


def iso_date(call):
    year, month, day = call.args
    return f"{year:04}-{month:02}-{day:02}"


def clock(call):
    hour, minute = (call.args + [0, 0])[:2]
    return f"{hour:02}:{minute:02}"
