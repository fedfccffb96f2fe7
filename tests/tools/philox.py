"""The product's random numbers (base/philox.h) in Python: what a comparison needs to see the same pairs in the same order and to start from the same reward head."""
import struct

import numpy as np
import xxhash

ORDER, INITIALISATION = 0, 4
MASK = 0xFFFFFFFF


def hash_bytes(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def key_of(seed, purpose):
    key = hash_bytes(struct.pack("<QQ", seed, purpose))
    return key & MASK, key >> 32


def block(key, counter):
    """Philox4x32-10 of one counter of four words."""
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & MASK, (a >> 32) ^ c3 ^ k1, a & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def below(key, draw, index, id, n):
    threshold = (2**64 - n) % n
    while True:
        out = block(key, (draw, index, id & MASK, id >> 32))
        for half in (0, 2):
            product = (out[half] << 32 | out[half + 1]) * n
            if product & (2**64 - 1) >= threshold:
                return product >> 64
        id = hash_bytes(struct.pack("<Q", id), 1)


def permutation(seed, epoch, n):
    key, out = key_of(seed, ORDER), list(range(n))
    for i in range(n, 1, -1):
        j = below(key, i & MASK, epoch ^ i >> 32, n, i)
        out[i - 1], out[j] = out[j], out[i - 1]
    return out


def reward_head(seed, hidden):
    """score.weight, [hidden]: normal of variance 1 / (hidden + 1)."""
    key, id = key_of(seed, INITIALISATION), hash_bytes(b"score.weight")
    draws = np.array([block(key, (i, 0, id & MASK, id >> 32))[:2] for i in range(hidden)], dtype=np.float64)
    z = np.sqrt(-2.0 * np.log((draws[:, 0] + 0.5) * 2.0**-32)) * np.cos(6.283185307179586 * draws[:, 1] * 2.0**-32)
    return (z.astype(np.float32).astype(np.float64) / np.sqrt(hidden + 1.0)).astype(np.float32)
