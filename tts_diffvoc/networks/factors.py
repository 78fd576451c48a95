"""How a hop splits into the upsampling factors of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tts_diffvoc.errors import DiffvocError

# (factors, largest of them): larger ones would leave most samples between two mel frames to one convolution.
PUBLISHED = {"diffwave": (2, 40), "wavegrad": (5, 8)}


def _splits(number: int, parts: int, most: int) -> Iterator[tuple[int, ...]]:
    """Every falling tuple of ``parts`` factors of ``number``, each from 1 to ``most``."""
    if parts == 0:
        if number == 1:
            yield ()
        return
    for first in range(min(most, number), 0, -1):
        if number % first == 0:
            for rest in _splits(number // first, parts - 1, first):
                yield (first, *rest)


def split_hop(hop_length: int, parts: int, most: int) -> tuple[int, ...] | None:
    """``hop_length`` as ``parts`` factors up to ``most``, as even as can be, falling; None when it has none."""
    return min(_splits(hop_length, parts, most), key=lambda split: (split[0] / split[-1], split), default=None)


def upsample_factors(network: str, hop_length: int) -> tuple[int, ...]:
    """The factors of the published "diffwave" (two, rising) or "wavegrad" (five, falling) for a hop.

    256 gives (16, 16) and (4, 4, 4, 2, 2), 300 gives WaveGrad's own (5, 5, 3, 2, 2).

    Raises: DiffvocError for a hop that does not split so, with the nearest hops that do.
    """
    parts, most = PUBLISHED[network]
    factors = split_hop(hop_length, parts, most)
    if factors is None:
        near = nearest_hops(network, hop_length, 2)
        shown = " or ".join(f"{hop} ({' x '.join(map(str, upsample_factors(network, hop)))})" for hop in near)
        raise DiffvocError(
            f"a hop of {hop_length} samples does not split into {parts} upsampling factors of at most {most} "
            f"for {network}; use {shown}."
        )
    return factors if network == "wavegrad" else factors[::-1]


def nearest_hops(network: str, hop_length: int, count: int) -> list[int]:
    """The ``count`` hops nearest to ``hop_length`` that split for ``network``."""
    parts, most = PUBLISHED[network]
    largest = most**parts
    distances = sorted(range(2, min(2 * hop_length, largest) + 1), key=lambda hop: (abs(hop - hop_length), hop))
    found = (hop for hop in distances if split_hop(hop, parts, most))
    return sorted(hop for hop, _ in zip(found, range(count)))


def fitting(network: str, hop_length: int) -> str:
    """Words that say which factors of a network would fit a hop."""
    factors = split_hop(hop_length, *PUBLISHED[network])
    if factors is None:
        hops = ", ".join(map(str, nearest_hops(network, hop_length, 2)))
        return f"no factors fit {hop_length}, but {hops} can be split"
    return f"for example {upsample_factors(network, hop_length)}, whose product is {math.prod(factors)}"
