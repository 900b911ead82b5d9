"""From the seed of a task to one of the fewer that an engine takes.

A seed of at least ``WIDE`` names a job (all bits but the lowest ``INDEX_BITS``) and a task of it. An
engine with 64-bit seeds takes it as it is. For others the tasks of a job are spread over the
engine's range by a permutation that the job chooses: two tasks of one job never share a seed, and
those of different jobs do so by chance alone, independently of one another. The permutation is a
Feistel network with cycle walking; source: J. Black and P. Rogaway, "Ciphers with arbitrary finite
domains", CT-RSA 2002. It needs to look random, not to keep a secret.

Smaller seeds are those of jobs that earlier releases recorded; they stay what they were.
"""

from __future__ import annotations

import hashlib

WIDE = 1 << 31
INDEX_BITS = 14
_ROUNDS = 6


def narrowed(seed: int, count: int) -> int:
    """The seed in 1 … ``count`` (at least 2^14) for a task of seed ``seed`` (at least 1)."""
    if seed < WIDE:
        return 1 + (seed - 1) % count
    job, place = divmod(seed, 1 << INDEX_BITS)
    half = ((count - 1).bit_length() + 1) // 2
    key = job.to_bytes(8, "big")
    while True:
        place = _permuted(place, half, key)
        if place < count:
            return 1 + place


def _permuted(place: int, half: int, key: bytes) -> int:
    """A permutation of 0 … 4^half - 1."""
    mask = (1 << half) - 1
    left, right = place >> half, place & mask
    for number in range(_ROUNDS):
        message = bytes([number]) + right.to_bytes(8, "big")
        digest = hashlib.blake2b(message, digest_size=8, key=key).digest()
        left, right = right, left ^ (int.from_bytes(digest, "big") & mask)
    return (left << half) | right
