"""Puts the records of the sources together. The rules and their reasons are in
docs/decisions/0008-model-catalogue.md; this file is those rules."""

from dataclasses import replace
from decimal import Decimal

from .record import PER_UNIT, SERVICES, SLOTS, Record, dimension, text

GENAI, LITELLM, MODELS_DEV = "genai-prices", "litellm", "models.dev"
LETTERS = {GENAI: "g", LITELLM: "l", MODELS_DEV: "m"}

# Above these, in USD, a price is one of another unit: per million written as per token, per hour as per second.
PRICE_MAX = {"per_million": Decimal(1000), "image": Decimal(10), "second": Decimal(10), "page": Decimal(10),
             "query": Decimal(10), "request": Decimal(10)}
# The same for text that a model only reads.
READING_MAX = Decimal(10)
READING_MODES = {"embedding", "rerank", "moderation"}
# Dearest tier in the sources is five times its base.
TIER_RATIO_MAX = 20
DISAGREEMENT_MIN = Decimal("0.01")


def merge(genai_models, litellm, models_dev, genai_records, today, left_out):
    """(rows, disagreements): a row is (record, {field: letters of the sources})."""
    by_source = {
        LITELLM: index(litellm),
        MODELS_DEV: index(models_dev),
        GENAI: index(genai_records),
    }
    spelling = {}
    for source in (LITELLM, MODELS_DEV, GENAI):
        for key in by_source[source]:
            spelling.setdefault(folded(key), key)
    by_folded = {source: {folded(key): record for key, record in found.items()} for source, found in by_source.items()}
    rows, disagreements = [], []
    for fold_key in sorted(spelling):
        key = spelling[fold_key]
        found = {source: records[fold_key] for source, records in by_folded.items() if fold_key in records}
        if GENAI not in found and not key[1]:
            matched = match_genai(genai_models, key)
            if matched is not None:
                found[GENAI] = matched
        found = {source: sane(source, record, left_out) for source, record in found.items()}
        record, sources = row(key, found, today, disagreements)
        if sources:
            rows.append((record, sources))
        else:
            left_out.add(next(iter(found)), "/".join(part for part in key if part), "only the name is known")
    return rows, disagreements


def index(records):
    return {record.key: record for record in records}


def folded(key):
    """Ids are looked up as written; two spellings of one id that differ in case only are one row."""
    return tuple(part.lower() for part in key)


def match_genai(genai_models, key):
    """What genai-prices' patterns say of an id that it does not name in full."""
    provider, _, model = key
    for candidate in genai_models.get((provider, ""), []):
        if candidate.matches(model):
            return Record(provider=provider, model=model, periods=candidate.periods, context=candidate.context,
                          deprecated=candidate.deprecated, exact=False)
    return None


def sane(source, record, left_out):
    """The record without prices that can't be."""
    key = "/".join(part for part in record.key if part)
    periods = []
    for period in record.periods:
        slots, above = {}, {}
        for tokens, slot, price in period.all_slots():
            fault = fault_of(record.mode, period, tokens, slot, price)
            if fault:
                left_out.add(source, f"{key} {slot}" + (f" above {tokens}" if tokens else ""), fault)
            elif tokens:
                above.setdefault(tokens, {})[slot] = price
            else:
                slots[slot] = price
        if slots:
            periods.append(replace(period, slots=slots, above=above))
    return replace(record, periods=periods)


def fault_of(mode, period, tokens, slot, price):
    unit = dimension(slot)
    most = PRICE_MAX[unit] if unit in PER_UNIT else PRICE_MAX["per_million"]
    if mode in READING_MODES and unit == "input":
        most = READING_MAX
    if price < 0:
        return f"{text(price)} is negative"
    if price > most:
        return f"{text(price)} is more than {text(most)}, so of another unit"
    if unit == "cached_read" and price > period.slots.get("input", price) and not tokens and slot == unit:
        return f"{text(price)} is more than what is not cached, {text(period.slots['input'])}"
    if tokens:
        lower = [period.slots, *(slots for size, slots in period.above.items() if size < tokens)]
        base = next((slots[slot] for slots in reversed(lower) if slot in slots), None)
        if base is None and slot == unit:
            return "a tier of a price that the base does not have"
        if base is not None and price < base:
            return f"{text(price)} is less than {text(base)} below that size"
        if base is not None and base > 0 and price > base * TIER_RATIO_MAX:
            return f"{text(price)} is more than {TIER_RATIO_MAX} times {text(base)} below that size"
    for whole in ("input", "output"):
        if unit == f"audio_{whole}" and (text_price := period.slots.get(whole)) and price > text_price * 1000:
            return f"{text(price)} is more than a thousand times the price of text"
    return None


def row(key, found, today, disagreements):
    provider, region, model = key
    out = Record(provider=provider, region=region, model=model)
    sources = {}
    first = [found[s] for s in (LITELLM, MODELS_DEV, GENAI) if s in found]

    def pick(name, order):
        for source in order:
            if source in found and (value := getattr(found[source], name)):
                setattr(out, name, value)
                sources.setdefault("limits" if name in LIMITS else name, set()).add(source)
                return

    prices(key, found, out, today, sources, disagreements)
    pick("mode", [LITELLM, MODELS_DEV])
    out.mode = out.mode or guess_mode(out)
    for limit in ("context", "input_max"):
        pick(limit, [MODELS_DEV, GENAI, LITELLM])
    pick("output_max", [LITELLM, MODELS_DEV])
    if out.input_max is not None and out.context is not None and out.input_max >= out.context:
        out.input_max = None
    for side in ("modalities_in", "modalities_out"):
        pick(side, [MODELS_DEV, LITELLM])
    if "modalities_in" in sources or "modalities_out" in sources:
        both = sources.pop("modalities_in", set()) | sources.pop("modalities_out", set())
        sources["modalities"] = both
    for source in (LITELLM, MODELS_DEV):
        if source in found:
            for capability, value in found[source].capabilities.items():
                if capability not in out.capabilities:
                    out.capabilities[capability] = value
                    sources.setdefault("capabilities", set()).add(source)
    pick("retires", [LITELLM])
    out.deprecated = any(record.deprecated for record in first)
    if out.deprecated:
        sources["deprecated"] = {s for s in found if found[s].deprecated}
    out.maker = next((r.maker for r in first if r.maker), None)
    out.stands_for = next((r.stands_for for r in first if r.stands_for), None)
    return out, {name: "".join(LETTERS[s] for s in LETTERS if s in found_in) for name, found_in in sources.items()}


LIMITS = {"context", "input_max", "output_max"}


def guess_mode(record):
    """For models of genai-prices only, which has no mode: what is priced says it."""
    slots = record.periods[-1].slots if record.periods else {}
    if "page" in slots:
        return "ocr"
    if "character" in slots:
        return "speech"
    if "embed" in record.model.lower() or record.provider == "voyage":
        return "rerank" if "rerank" in record.model.lower() else "embedding"
    if "second" in slots and "output" not in slots:
        return "transcription"
    if "realtime" in record.model.lower():
        return "realtime"
    if "image_output" in slots and "output" not in slots:
        return "image"
    if slots and "output" not in slots and "input" in slots:
        return "embedding"
    return "chat"


def prices(key, found, out, today, sources, disagreements):
    priced = {source: record for source, record in found.items() if record.periods}
    if not priced:
        return
    free = [s for s in priced if all(p.is_zero() for p in priced[s].periods)]
    if free and len(free) < len(priced):
        for source in free:
            del priced[source]
    elif len(free) == 1 and free[0] in (GENAI, MODELS_DEV) and not is_free(key):
        return
    winner = choose(priced, today)
    timed = LITELLM in priced and any(p.is_timed() for p in priced[LITELLM].periods)
    for other in (GENAI, LITELLM, MODELS_DEV):
        if other in priced and other != winner:
            compare(key, winner, priced[winner], other, priced[other], today, disagreements)
    if timed and GENAI in priced:
        out.periods = with_history(priced[GENAI].periods, priced[LITELLM].periods, today)
        sources["prices"] = {GENAI, LITELLM}
    else:
        out.periods = [replace(p, slots=dict(p.slots), above={n: dict(s) for n, s in p.above.items()})
                       for p in priced[winner].periods]
        sources["prices"] = {winner}
    for other in (LITELLM, GENAI, MODELS_DEV):
        if other in priced and other != winner:
            fill(out.periods, priced[other], other, today, sources)
    for period in out.periods:
        tidy(period)


def is_free(key):
    return key[2].lower().endswith((":free", "-free"))


def choose(priced, today):
    """The source whose prices count."""
    if LITELLM in priced and any(p.is_timed() for p in priced[LITELLM].periods):
        return LITELLM
    order = [s for s in (GENAI, LITELLM, MODELS_DEV) if s in priced]
    if GENAI in order and not priced[GENAI].exact:
        order.remove(GENAI)
        # A pattern may reach further than the price that was written for it; what names the id in full goes first,
        # but not the oldest source, and not where both say the same, as the pattern has the dates.
        at = 1 if order[:1] == [LITELLM] and not agree(priced[LITELLM], priced[GENAI], today) else 0
        order.insert(at, GENAI)
    dated = GENAI in priced and standard(priced[GENAI], today).valid_from
    if len(order) == 3 and not dated and not agree(priced[order[0]], priced[order[1]], today):
        if agree(priced[order[1]], priced[order[2]], today):
            return order[1]
    return order[0]


def agree(one, other, today):
    """Whether two sources have the same price of input and of output now."""
    mine, theirs = standard(one, today).slots, standard(other, today).slots
    both = [slot for slot in ("input", "output") if slot in mine or slot in theirs]
    return bool(both) and all(
        slot in mine and slot in theirs and not differs(mine[slot], theirs[slot]) for slot in both
    )


def standard(record, today):
    """The period that holds today, at most hours of the day."""
    current = [p for p in record.periods if p.holds(today) and not p.is_timed()]
    return current[-1] if current else record.periods[-1]


def differs(a, b):
    return abs(a - b) > DISAGREEMENT_MIN * max(a, b)


def compare(key, winner, won, other, record, today, disagreements):
    if any(p.is_timed() for p in [*won.periods, *record.periods]):
        return  # prices by the hour have no one price to compare
    mine, theirs = standard(won, today), standard(record, today)
    for tokens, slot, value in theirs.all_slots():
        held = (mine.above.get(tokens, {}) if tokens else mine.slots).get(slot)
        if held is not None and differs(held, value):
            disagreements.append(
                (key[0], key[1], key[2], slot + (f">{tokens}" if tokens else ""), winner, text(held), other, text(value))
            )


def with_history(dated, timed, today):
    """Prices by the hour of one source, before them the dated ones of the other."""
    starts = [p.valid_from for p in dated if p.valid_from and p.valid_from <= today]
    if not starts:
        return [replace(p) for p in timed]
    start = max(starts)
    past = [replace(p) for p in dated if not p.is_timed() and (p.valid_from or "") < start]
    return past + [replace(p, valid_from=start) for p in timed]


def fill(periods, record, other, today, sources):
    """Prices of today that the winner does not have, from a source that agrees with it on input and output."""
    theirs = standard(record, today)
    for period in periods:
        if not period.holds(today) or period.is_timed():
            continue
        same = [
            slot for slot in ("input", "output")
            if slot in period.slots and slot in theirs.slots and not differs(period.slots[slot], theirs.slots[slot])
        ]
        both = [slot for slot in ("input", "output") if slot in period.slots]
        if not same or same != both or set(theirs.above) - set(period.above):
            continue
        had = set(period.slots)
        for slot, value in theirs.slots.items():
            # Sources that round otherwise than the winner may have a cache dearer than the input.
            if slot == "cached_read" and value > period.slots.get("input", value):
                continue
            if slot not in had:
                period.slots[slot] = value
                sources.setdefault("prices", set()).add(other)
        for tokens, slots in theirs.above.items():
            for slot, value in slots.items():
                if slot not in had:
                    period.above[tokens].setdefault(slot, value)


def tidy(period):
    """Leaves out what says nothing: reasoning at the price of output, a tier member equal to what holds anyway."""
    for slots in [period.slots, *period.above.values()]:
        for service in SERVICES:
            if slots.get(service + "reasoning") is not None and slots.get(service + "reasoning") == slots.get(
                service + "output"
            ):
                del slots[service + "reasoning"]
    period.above = {tokens: period.above[tokens] for tokens in sorted(period.above) if period.above[tokens]}


def members(record, sources):
    """The row as a dict with its members in the order of the file."""
    row = {"provider": record.provider, "model": record.model}
    if record.region:
        row["region"] = record.region
    if record.maker:
        row["maker"] = record.maker
    row["name"] = record.name
    if record.own:
        row["own"] = True
    row["mode"] = record.mode
    row["prices"] = [period_members(period) for period in record.periods]
    for member, value in (
        ("context_tokens", record.context),
        ("input_tokens_max", record.input_max),
        ("output_tokens_max", record.output_max),
        ("modalities_in", sorted(record.modalities_in)),
        ("modalities_out", sorted(record.modalities_out)),
        ("capabilities", sorted(name for name, held in record.capabilities.items() if held)),
        ("lacks", sorted(name for name, held in record.capabilities.items() if not held)),
        ("deprecated", record.deprecated),
        ("retires", record.retires),
        ("sources", dict(sorted(sources.items()))),
    ):
        if value:
            row[member] = value
    return row


def period_members(period):
    out = {}
    for member in ("valid_from", "valid_until", "hours", "weekdays", "weekdays_offset"):
        if value := getattr(period, member):
            out[member] = value
    out.update(slot_members(period.slots))
    if period.above:
        out["above"] = {str(tokens): slot_members(slots) for tokens, slots in period.above.items()}
    return out


def slot_members(slots):
    return {slot: text(slots[slot]) for slot in SLOTS if slot in slots}


def is_priced_chat(record):
    """Whether the row counts as a chat model with a price that is not zero."""
    return record.mode == "chat" and record.maker is not None and any(not p.is_zero() for p in record.periods)
