"""How a hop splits into the upsampling factors of a network."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement, islice

from tts_diffvoc.errors import DiffvocError

# (factors, largest of them): larger ones would leave most samples between two mel frames to one convolution.
PUBLISHED = {"diffwave": (2, 40), "wavegrad": (5, 8)}


def split_hop(hop_length: int, parts: int, most: int) -> tuple[int, ...] | None:
    """``hop_length`` as ``parts`` factors up to ``most``, as even as can be, rising; None when it has none."""
    divisors = [number for number in range(1, most + 1) if hop_length % number == 0]
    splits = (one for one in combinations_with_replacement(divisors, parts) if math.prod(one) == hop_length)
    return min(splits, key=lambda split: (split[-1] / split[0], split[::-1]), default=None)


def upsample_factors(network: str, hop_length: int) -> tuple[int, ...]:
    """The factors of the published "diffwave" (two, rising) or "wavegrad" (five, falling) for a hop.

    256 gives (16, 16) and (4, 4, 4, 2, 2), 300 gives WaveGrad's own (5, 5, 3, 2, 2).

    Raises: DiffvocError for a hop that does not split so, with the nearest hops that do.
    """
    parts, most = PUBLISHED[network]
    factors = split_hop(hop_length, parts, most)
    if factors is None:
        near = sorted(range(2, most**parts + 1), key=lambda hop: abs(hop - hop_length))
        found = islice((hop for hop in near if split_hop(hop, parts, most)), 2)
        raise DiffvocError(
            f"a hop of {hop_length} samples does not split into {parts} upsampling factors of at most {most} "
            f"for {network}; use {' or '.join(map(str, sorted(found)))}."
        )
    return factors if network == "diffwave" else factors[::-1]
