"""Text and bytes by Specific Character Set (0008,0005) (PS3.5 §6.1): reading never raises, writing never guesses."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, encode_string, python_encoding

_MULTI_VALUE_VRS: Final = frozenset({"LO", "PN", "SH", "UC"})
_SINGLE_TEXT_VRS: Final = frozenset({"LT", "ST", "UT"})
_STAND_ALONE: Final = frozenset({"UTF8", "GB18030", "GBK"})
_DEFAULT: Final = "iso8859"
_DELIMITER = re.compile(r"([\\^=\r\n\f\t])")
_FRAGMENTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_CORRECTIONS: Final = {
    "ISO IR 192": "ISO_IR 192",
    "UTF-8": "ISO_IR 192",
    "UTF8": "ISO_IR 192",
    "LATIN1": "ISO_IR 100",
}


@lru_cache(maxsize=512)
def encodings(specific_character_set: bytes) -> tuple[str, ...]:
    """Python encodings for the stored value of (0008,0005): the first for plain bytes, the others for escapes.

    Misspelt names are corrected (``ISO-IR 100``, ``ISO 2022 IR 100``), unknown ones become the default repertoire.
    """
    names = [name.strip(" \0") for name in specific_character_set.decode("latin-1").split("\\")]
    found = [_encoding(name) for name in names] or [_DEFAULT]
    if found[0] in _STAND_ALONE:
        return (found[0],)
    return tuple(encoding for encoding in found if encoding not in _STAND_ALONE)


def _encoding(name: str) -> str:
    if name in python_encoding:
        return python_encoding[name]
    upper = name.upper()
    candidates = [upper, _CORRECTIONS.get(upper, upper)]
    if match := re.fullmatch(r"ISO\D?(?:2022\D?)?(?:IR)?\D?(\d+)", upper):
        registered = [f"ISO_IR {match[1]}", f"ISO 2022 IR {match[1]}"]
        candidates += registered[::-1] if "2022" in upper else registered
    for candidate in candidates:
        if candidate in python_encoding:
            return python_encoding[candidate]
    return _DEFAULT


def decode(value: bytes, character_set: tuple[str, ...], vr: str) -> str:
    """Decode a whole value, backslashes included. VRs outside PS3.5 §6.1.2.2 have the default repertoire."""
    if vr not in _MULTI_VALUE_VRS and vr not in _SINGLE_TEXT_VRS:
        return value.decode("latin-1")
    if b"\x1b" not in value:
        if value.isascii():
            return value.decode("ascii")
        return _decode_plain(value, character_set)
    if vr not in _MULTI_VALUE_VRS:
        return _decode_escaped(value, character_set, b"\r\n\t\f")
    # Each value, and in PN each component, starts again in the first character set (PS3.5 §6.1.2.5.3).
    delimiters = b"\\^=" if vr == "PN" else b"\\"
    return _decode_escaped(value, character_set, delimiters)


def _decode_plain(value: bytes, character_set: tuple[str, ...]) -> str:
    """Bytes past ASCII without an escape; where the default repertoire has none, a declared set that fits is meant."""
    if character_set[0] == _DEFAULT:
        for declared in character_set[1:]:
            try:
                return value.decode(declared)
            except UnicodeDecodeError:
                continue
    return value.decode(character_set[0], errors="replace")


def _decode_escaped(value: bytes, character_set: tuple[str, ...], delimiters: bytes) -> str:
    return "".join(_fragment(part, character_set, delimiters) for part in _FRAGMENTS.findall(value))


def _fragment(part: bytes, character_set: tuple[str, ...], delimiters: bytes) -> str:
    first = character_set[0]
    if not part.startswith(b"\x1b"):
        return part.decode(first, errors="replace")
    escape_length = 4 if part.startswith((b"\x1b$(", b"\x1b$)")) else 3
    encoding = CODES_TO_ENCODINGS.get(part[:escape_length], "")
    if not encoding:
        return part.decode(first, errors="replace")
    if encoding in {"iso2022_jp", "iso2022_jp_2"}:
        return part.decode(encoding, errors="replace")
    rest = part[escape_length:]
    split = next((index for index, byte in enumerate(rest) if byte in delimiters), len(rest))
    if first == _DEFAULT and not rest[split:].isascii():
        split = len(rest)  # the default repertoire has no such bytes: the writer forgot to escape again
    return rest[:split].decode(encoding, errors="replace") + rest[split:].decode(first, errors="replace")


def encoder(character_set: tuple[str, ...]) -> Callable[[str], bytes]:
    """A function from text to bytes for Python encodings as `encodings` finds them.

    It raises UnicodeError for what they cannot write.
    """
    first = "ascii" if character_set[0] == _DEFAULT else character_set[0]
    if len(character_set) == 1:
        # GBK, GB18030, UTF-8, one ISO 8859 part, or a Korean or Japanese set without escapes.
        return lambda text: text.encode(first)

    def encode(text: str) -> bytes:
        if text.isascii():
            return text.encode("ascii")
        for character in set(text):
            if not any(_can_write(character, encoding) for encoding in character_set):
                character.encode("ascii")
        # Delimiters return to the first set (PS3.5 §6.1.2.5.3), so what stands between them is written on its own.
        encoded = b"".join(
            part.encode("ascii") if part.isascii() else encode_string(part, character_set)
            for part in _DELIMITER.split(text)
        )
        if decode(encoded, character_set, "PN") != text:
            raise UnicodeError("the character set does not bring the text back")
        return encoded

    return encode


def _can_write(character: str, encoding: str) -> bool:
    try:
        character.encode("ascii" if encoding == _DEFAULT else encoding)
    except UnicodeError:
        return False
    return True
