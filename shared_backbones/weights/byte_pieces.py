"""The printable stand-ins of bytes in the vocabularies of GPT-2 and CLIP (Radford et al. 2019)."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1)
def stand_ins() -> dict[str, int]:
    """Byte of every stand-in: itself, or the next free one from U+0100 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
