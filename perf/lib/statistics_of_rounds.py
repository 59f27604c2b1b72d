"""Medians over rounds and intervals of paired differences (percentile bootstrap, fixed seed)."""

import random
from statistics import median

RESAMPLES = 4000
ROUNDS_MIN = 3


def paired_difference(values, base):
    """Median of value - base by round, with a 95 % interval (None with too few rounds)."""
    differences = [value - other for value, other in zip(values, base, strict=True)]
    middle = median(differences)
    if len(differences) < ROUNDS_MIN:
        return middle, None
    source = random.Random(1)
    medians = sorted(median(source.choices(differences, k=len(differences))) for _ in range(RESAMPLES))
    return middle, (medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975) - 1])
