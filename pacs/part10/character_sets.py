"""Text and bytes by Specific Character Set (0008,0005) (PS3.5 §6.1): reading never raises, writing never guesses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

_MULTI_VALUE_VRS: Final = frozenset({"LO", "PN", "SH", "UC"})
_SINGLE_TEXT_VRS: Final = frozenset({"LT", "ST", "UT"})
_STAND_ALONE: Final = frozenset({"UTF8", "GB18030", "GBK"})
_DEFAULT: Final = "iso8859"
_DELIMITER = re.compile(r"([\\^=\r\n\f\t])")
_FRAGMENTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_HALVES = re.compile(rb"[\x00-\x7f]+|[\x80-\xff]+")
# Latin alphabet No. 9 (PS3.3 Tables C.12-2, C.12-3) is younger than pydicom's tables.
_ENCODINGS: Final = {**python_encoding, "ISO_IR 203": "iso8859_15", "ISO 2022 IR 203": "iso8859_15"}
_ESCAPES: Final = {**CODES_TO_ENCODINGS, b"\x1b-b": "iso8859_15"}
_HALF_WIDTH: Final = "shift_jis"
"""pydicom's name for JIS X 0201 (ISO_IR 13), of which only the characters of one byte are part."""
_ASCII, _ROMAN = b"\x1b(B", b"\x1b(J"
_ESCAPE_TO: Final = {encoding: escape for escape, encoding in _ESCAPES.items() if escape not in (_ASCII, _ROMAN)}
_TWO_BYTES_IN_G0: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})
_READ_BEHIND_HOME: Final = frozenset({"latin_1", _HALF_WIDTH})
"""First sets whose bytes every reader finds again behind the escape that brings G0 home."""
_CORRECTIONS: Final = {
    "ISO IR 192": "ISO_IR 192",
    "UTF-8": "ISO_IR 192",
    "UTF8": "ISO_IR 192",
    "LATIN1": "ISO_IR 100",
}


def all_encodings() -> frozenset[str]:
    """Every Python encoding that `decode` may come to need; Python loads each from a file when it is first used."""
    return frozenset(_ENCODINGS.values()) | frozenset(_ESCAPES.values())


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
    if name in _ENCODINGS:
        return _ENCODINGS[name]
    upper = name.upper()
    candidates = [upper, _CORRECTIONS.get(upper, upper)]
    if match := re.fullmatch(r"ISO\D?(?:2022\D?)?(?:IR)?\D?(\d+)", upper):
        registered = [f"ISO_IR {match[1]}", f"ISO 2022 IR {match[1]}"]
        candidates += registered[::-1] if "2022" in upper else registered
    for candidate in candidates:
        if candidate in _ENCODINGS:
            return _ENCODINGS[candidate]
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
    """Bytes past ASCII without an escape; where the default repertoire has none, a declared set that fits is meant,
    and then UTF-8, which text in another set is by chance only."""
    if character_set[0] == _DEFAULT:
        for likely in (*character_set[1:], "utf-8"):
            try:
                return value.decode(likely)
            except UnicodeDecodeError:
                continue
    return value.decode(character_set[0], errors="replace")


def _decode_escaped(value: bytes, character_set: tuple[str, ...], delimiters: bytes) -> str:
    """Text with code extensions. An escape invokes a set in G0 (bytes below 128) or in G1 (from 128 on), and leaves the
    other of them as it was (PS3.5 §6.1.2.5.2): ``太ﾀ`` is a Kanji of two bytes of G0 and a Katakana of one of G1."""
    first = character_set[0]
    in_g0, in_g1 = b"", first
    found: list[str] = []
    for part in _FRAGMENTS.findall(value):
        escape_length = 0
        if part.startswith(b"\x1b"):
            escape_length = 4 if part.startswith((b"\x1b$(", b"\x1b$)")) else 3
            escape = part[:escape_length]
            encoding = _ESCAPES.get(escape, "")
            if not encoding:
                escape_length = 0
            elif encoding in _TWO_BYTES_IN_G0:
                in_g0 = escape
            elif escape in (_ASCII, _ROMAN):
                in_g0 = b""
                if escape == _ROMAN and in_g1 == _DEFAULT:
                    in_g1 = encoding  # half-width Katakana that nobody escaped to are written so
            else:
                in_g1 = encoding
        rest = part[escape_length:]
        if in_g0:
            found += _of_two_bytes(rest, in_g0, in_g1, character_set)
            continue
        split = next((index for index, byte in enumerate(rest) if byte in delimiters), len(rest))
        found.append(_in_g1(rest[:split], in_g1, character_set))
        if split < len(rest):
            if first != _DEFAULT:  # the default repertoire has no such bytes: the writer forgot to escape again
                in_g1 = first
            found.append(_in_g1(rest[split:], in_g1, character_set))
            in_g1 = first
    return "".join(found)


def _of_two_bytes(part: bytes, in_g0: bytes, in_g1: str, character_set: tuple[str, ...]) -> Iterator[str]:
    """Bytes of a set of two bytes in G0, and among them those of G1."""
    for run in _HALVES.findall(part):
        if run.isascii():
            yield (in_g0 + run).decode(_ESCAPES[in_g0], errors="replace")
        else:
            yield _in_g1(run, in_g1, character_set)


def _in_g1(part: bytes, in_g1: str, character_set: tuple[str, ...]) -> str:
    """ASCII and bytes of G1; of what is none there, the first set is meant."""
    if part.isascii():
        return part.decode("ascii")
    if in_g1 == _DEFAULT:
        return _decode_plain(part, character_set)
    try:
        return part.decode(in_g1)
    except UnicodeDecodeError:
        pass
    try:
        return part.decode(character_set[0] if character_set[0] != _DEFAULT else in_g1)
    except UnicodeDecodeError:
        return part.decode(in_g1, errors="replace")


def encoder(character_set: tuple[str, ...]) -> Callable[[str], bytes]:
    """A function from text to bytes for Python encodings as `encodings` finds them.

    It raises UnicodeError for what they cannot write.
    """
    first = "ascii" if character_set[0] == _DEFAULT else character_set[0]
    if len(character_set) == 1:
        # GBK, GB18030, UTF-8, one ISO 8859 part, or a Korean or Japanese set without escapes.
        return _half_width if first == _HALF_WIDTH else lambda text: text.encode(first)

    def encode(text: str) -> bytes:
        if text.isascii():
            return text.encode("ascii")
        # Delimiters return to the first set (PS3.5 §6.1.2.5.3), so what stands between them is written on its own.
        return b"".join(
            part.encode("ascii") if part.isascii() else _with_escapes(part, character_set)
            for part in _DELIMITER.split(text)
        )

    return encode


def _with_escapes(text: str, character_set: tuple[str, ...]) -> bytes:
    """Text without delimiters by the code extensions of PS3.5 §6.1.2.5, back in the first set at its end.

    G1 is read while a set of two bytes is in G0, and stays while that changes. Readers take a fragment behind an escape
    for one set, so more is escaped than must be.
    """
    first = character_set[0]
    home = _ROMAN if first == _HALF_WIDTH else _ASCII
    in_g0, in_g1 = home, first
    written = bytearray()
    for character in text:
        if character.isascii():
            encoding, escape, code = "", home, character.encode("ascii")
        else:
            encoding, code = _written(character, (in_g1, *character_set))
            escape = _ESCAPE_TO[encoding] if encoding in _TWO_BYTES_IN_G0 else home
        if escape != in_g0:
            in_g0 = escape
            written += escape
            if in_g1 != first or first not in _READ_BEHIND_HOME:
                in_g1 = ""
        if encoding and escape == home and encoding != in_g1:
            in_g1 = encoding
            written += _ESCAPE_TO[encoding]
        written += code
    return bytes(written if in_g0 == home else written + home)


def _written(character: str, character_set: tuple[str, ...]) -> tuple[str, bytes]:
    """The first of the sets that has the character, and its code there."""
    for encoding in character_set:
        if encoding == _DEFAULT or encoding not in _ESCAPE_TO:
            continue
        try:
            code = character.encode(encoding)
        except UnicodeError:
            continue
        if encoding in _TWO_BYTES_IN_G0:
            escape = _ESCAPE_TO[encoding]
            if not code.startswith(escape):
                continue  # of one of the other sets that Python's codec knows
            code = code[len(escape) : len(escape) + 2]
        elif len(code) == 1 and code.isascii():
            continue  # the yen of JIS X 0201, where a reader finds a backslash
        elif encoding == _HALF_WIDTH and len(code) > 1:
            continue
        return encoding, code
    raise UnicodeError(f"U+{ord(character):04X} is in none of the character sets")


def _half_width(text: str) -> bytes:
    encoded = text.encode(_HALF_WIDTH)
    if len(encoded) != len(text):
        raise UnicodeError("JIS X 0201 has no characters of two bytes")
    if any(byte < 0x80 and not character.isascii() for byte, character in zip(encoded, text, strict=True)):
        raise UnicodeError("the yen and the overline of JIS X 0201 would be read as backslash and tilde")
    return encoded
