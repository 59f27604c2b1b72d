"""What every source is read into: one record a (provider kind, region, model id), prices as exact decimals.

Prices here have the units of the catalogue file: USD per million tokens (or characters), USD per image, second, page,
query and request. No price is a float at any time.
"""

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

# In the order of the file. The first group is per million units, the second per unit.
PER_MILLION = [
    "input",
    "output",
    "cached_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_cached_read",
    "audio_output",
    "image_input",
    "image_cached_read",
    "image_output",
    "video_input",
    "video_output",
    "character",
]
PER_UNIT = ["image", "second", "page", "query", "request"]
DIMENSIONS = PER_MILLION + PER_UNIT

# Ways to be served that have prices of their own; the empty one is the standard service.
SERVICES = ["", "batch_", "flex_", "priority_", "fast_"]

# Every member of a price, in the order of the file.
SLOTS = [service + dimension for service in SERVICES for dimension in DIMENSIONS]

# The program counts in 10^-15 USD a unit: nine decimals per million, fifteen per unit.
DECIMALS_PER_MILLION = 9
DECIMALS_PER_UNIT = 15

MODES = [
    "chat",
    "completion",
    "embedding",
    "image",
    "speech",
    "transcription",
    "rerank",
    "moderation",
    "realtime",
    "video",
    "ocr",
]


def dimension(slot):
    """The dimension of a slot, without its service."""
    for service in SERVICES[1:]:
        if slot.startswith(service):
            return slot[len(service):]
    return slot


def decimals(slot):
    """How many decimals the catalogue keeps for a slot."""
    return DECIMALS_PER_UNIT if dimension(slot) in PER_UNIT else DECIMALS_PER_MILLION


def exact(slot, value):
    """The nearest value that the catalogue can hold. Sources that store floats leave residues below that."""
    return value.quantize(Decimal(1).scaleb(-decimals(slot)), rounding=ROUND_HALF_EVEN)


def per_second(per_hour):
    """USD per second of a price per hour, cut off rather than rounded, so that the sum of whole hours, which is
    rounded up once, is the price again."""
    return (per_hour / 3600).quantize(Decimal(1).scaleb(-DECIMALS_PER_UNIT), rounding=ROUND_DOWN)


def text(value):
    """The shortest plain decimal: no exponent, no trailing zeros."""
    plain = format(value, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return plain or "0"


@dataclass
class Period:
    """Prices from one day (UTC) until another, possibly at some times of day only."""

    slots: dict = field(default_factory=dict)  # slot -> Decimal
    above: dict = field(default_factory=dict)  # tokens of input -> {slot: Decimal}
    valid_from: str | None = None  # ISO date, inclusive
    valid_until: str | None = None  # ISO date, exclusive
    hours: list = field(default_factory=list)  # ["01:00-04:00"], UTC
    weekdays: list = field(default_factory=list)  # ISO numbers, of the day at `weekdays_offset`
    weekdays_offset: int = 0  # minutes east of UTC

    def holds(self, day):
        """Whether it holds on that day, at some hour at least."""
        return (self.valid_from or "") <= day and (self.valid_until is None or day < self.valid_until)

    def is_timed(self):
        """Whether it holds at some times of day or days of the week only."""
        return bool(self.hours or self.weekdays)

    def all_slots(self):
        """(tokens above which it holds, slot, price) of every price."""
        for slot, price in self.slots.items():
            yield 0, slot, price
        for tokens, slots in self.above.items():
            for slot, price in slots.items():
                yield tokens, slot, price

    def is_zero(self):
        return all(price == 0 for _, _, price in self.all_slots())


@dataclass
class Record:
    """What one source says of one model at one provider."""

    provider: str
    model: str
    region: str = ""
    mode: str | None = None
    maker: str | None = None
    name: str | None = None
    stands_for: str | None = None  # the id whose other name this is
    own: bool = False  # the provider is the maker's own
    periods: list = field(default_factory=list)
    context: int | None = None
    input_max: int | None = None
    output_max: int | None = None
    modalities_in: set = field(default_factory=set)
    modalities_out: set = field(default_factory=set)
    capabilities: dict = field(default_factory=dict)  # name -> bool
    deprecated: bool = False
    exact: bool = True  # the source names this id in full, not by a pattern
    retires: str | None = None

    @property
    def key(self):
        return (self.provider, self.region, self.model)


class LeftOut:
    """What was not taken, and why; ends up in `left-out.tsv`."""

    def __init__(self):
        self.lines = set()
        self.rounded = 0

    def add(self, source, what, why):
        self.lines.add((source, what, why))
