"""Long text kept compressed, in which one short string is put in at many places while it stays compressed.

The address under which a client reached the archive stands in every instance's metadata. To inflate a series, write the
address and compress again takes ten times as long as everything else. So the text is compressed with a `SLOT` where the
string belongs, and the slot's bytes are taken out of the compressed stream: the first slot (and one out of reach of the
one before) is left to a stored block (RFC 1951 §3.2.4) that is written when it is sent; the others are copies of it by
distance, whatever stands there. The checksum of the gzip format (RFC 1952) follows from two that are kept, because a
CRC is linear. Compressed pieces also follow each other without inflating: one stream, as browsers read no further ones.
Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

SLOT_BYTES: Final = 80
_LETTERS: Final = bytes([*range(0x01, 0x09), *range(0x0E, 0x20)])
SLOT: Final = bytes(_LETTERS[at * stride % 26] for stride in (1, 3, 5, 7) for at in range(26))[:SLOT_BYTES]
"""Control characters, which neither JSON nor XML has in its text, and no three of them twice in the same order: so the
compressor copies them from nowhere but another slot."""

_LEVEL: Final = 6
_WINDOW_BYTES: Final = 32768
_REACH_BYTES: Final = 30_000
"""A slot that starts so far behind the one before is not copied: the window also has to hold what is being read."""
_PIECE_BYTES: Final = 262_144
_FILLS: Final = (b" " * SLOT_BYTES, b"!" * SLOT_BYTES)
_STORED_MAX: Final = 65_535
_GZIP_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK: Final = b"\x03\x00"


class SlotsNotFound(ValueError):
    """The compressor did something else with the slots than copy them."""


@dataclass(frozen=True, slots=True)
class Template:
    """Compressed text with slots."""

    pieces: tuple[bytes | memoryview, ...]
    """Raw deflate, each ending at a byte; between each two of them a slot is to be written."""
    size: int
    """Bytes of the text; a slot counts `SLOT_BYTES`."""
    checks: tuple[int, int]
    """CRC-32 of the text with each of two known strings in its slots."""
    shift: int
    """What the CRC of text before this one is multiplied by."""

    @property
    def compressed_bytes(self) -> int:
        return sum(map(len, self.pieces))

    def check(self, fill: bytes) -> int:
        """CRC-32 of the text with `fill` in its slots."""
        factor = _times(self.checks[0] ^ self.checks[1], _INVERSE)
        return self.checks[0] ^ _times(factor, zlib.crc32(fill) ^ _CHECKS_OF_FILLS[0])


def compress(texts: Iterable[bytes]) -> Template:
    """Compress the texts, one after the other; the same texts always give the same bytes.

    Text must have control characters in no other place than in `SLOT`.
    """
    kept = [*texts]
    try:
        return _compressed(kept, reach=_REACH_BYTES)
    except SlotsNotFound:
        return _compressed(kept, reach=0)


def gzip_pieces(parts: Sequence[Template | bytes], fill: bytes) -> list[bytes | memoryview]:
    """One gzip file (one member) of all parts in order, `fill` (of `SLOT_BYTES`) in every slot; nothing is copied."""
    pieces: list[bytes | memoryview] = [_GZIP_HEAD]
    check, size = 0, 0
    slot = _stored(fill)
    for part in parts:
        if isinstance(part, bytes):
            pieces.append(_stored(part))
            check = _times(check, _shift(len(part))) ^ zlib.crc32(part)
            size += len(part)
            continue
        for number, piece in enumerate(part.pieces):
            if number:
                pieces.append(slot)
            pieces.append(piece)
        check = _times(check, part.shift) ^ part.check(fill)
        size += part.size
    pieces.append(_LAST_BLOCK + check.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))
    return pieces


def text_pieces(parts: Sequence[Template | bytes], fill: bytes) -> Iterator[bytes]:
    """The text of all parts in order, with `fill` (of `SLOT_BYTES`) in every slot, in pieces of about 256 KB."""
    waiting = bytearray()
    slot = _stored(fill)
    for part in parts:
        if isinstance(part, bytes):
            waiting += part
            continue
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        for number, piece in enumerate(part.pieces):
            for compressed in (slot, piece) if number else (piece,):
                rest: bytes | memoryview = compressed
                while True:
                    found = inflater.decompress(rest, _PIECE_BYTES)
                    waiting += found
                    rest = inflater.unconsumed_tail
                    if len(waiting) >= _PIECE_BYTES:
                        yield bytes(waiting)
                        waiting.clear()
                    if not rest and len(found) < _PIECE_BYTES:
                        break
    if waiting:
        yield bytes(waiting)


def _compressed(texts: list[bytes], *, reach: int) -> Template:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    pieces: list[bytes] = []
    made: list[bytes] = []
    window = bytearray()
    size, checks = 0, [0, 0]
    since_slot: int | None = None
    for text in texts:
        for which, fill in enumerate(_FILLS):
            checks[which] = zlib.crc32(text.replace(SLOT, fill), checks[which])
        size += len(text)
        between = text.split(SLOT)
        for number, part in enumerate(between):
            if number:
                window += SLOT
                if since_slot is None or since_slot + SLOT_BYTES > reach:
                    made.append(compressor.flush(zlib.Z_SYNC_FLUSH))
                    pieces.append(b"".join(made))
                    made = []
                    compressor = zlib.compressobj(
                        _LEVEL,
                        zlib.DEFLATED,
                        -zlib.MAX_WBITS,
                        zlib.DEF_MEM_LEVEL,
                        zlib.Z_DEFAULT_STRATEGY,
                        bytes(window[-_WINDOW_BYTES:]),
                    )
                else:
                    made.append(compressor.compress(SLOT))
                since_slot = 0
            made.append(compressor.compress(part))
            window += part[-_WINDOW_BYTES:]
            if since_slot is not None:
                since_slot += len(part)
        if len(window) > 4 * _WINDOW_BYTES:
            del window[:-_WINDOW_BYTES]
    made.append(compressor.flush(zlib.Z_SYNC_FLUSH))
    pieces.append(b"".join(made))
    template = Template(tuple(pieces), size, (checks[0], checks[1]), _shift(size))
    check = 0
    for piece in text_pieces([template], _FILLS[1]):
        check = zlib.crc32(piece, check)
    if check != checks[1]:
        raise SlotsNotFound
    return template


def _stored(text: bytes) -> bytes:
    """`text`, of at most 64 KB, as a stored block that is not the last one."""
    length = len(text)
    if length > _STORED_MAX:
        raise ValueError(f"a stored block of {length} bytes")
    return b"\x00" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + text


# CRC-32 as polynomials over GF(2), the highest power in the lowest bit: the product of two, modulo the CRC's own.

_POLYNOMIAL: Final = 0xEDB88320
_ONE: Final = 1 << 31


def _times(one: int, other: int) -> int:
    product, bit = 0, _ONE
    while one:
        if one & bit:
            product ^= other
            one ^= bit
        bit >>= 1
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product


@lru_cache(maxsize=64)
def _shift(size: int) -> int:
    """The power of x by which `size` bytes that follow multiply a CRC."""
    product, power = _ONE, _BYTE
    while size:
        if size & 1:
            product = _times(product, power)
        power = _times(power, power)
        size >>= 1
    return product


def _inverse(value: int) -> int:
    """The CRC's polynomial is primitive, so that every value but 0 has one: its power 2^32 - 2."""
    product, power = _ONE, value
    for _ in range(31):
        power = _times(power, power)
        product = _times(product, power)
    return product


_BYTE: Final = 1 << (31 - 8)
_CHECKS_OF_FILLS: Final = tuple(map(zlib.crc32, _FILLS))
_INVERSE: Final = _inverse(_CHECKS_OF_FILLS[0] ^ _CHECKS_OF_FILLS[1])
