"""Element headers and values into bytes (PS3.5 §6.2, §7.1), from the values of the DICOM JSON Model (PS3.18 Annex F).

Strict: a value that does not fit its VR is a ValueError; who writes for a peer that prefers nothing to an error
catches it. No message holds a value, because it may be a patient's name.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from pydicom.valuerep import format_number_as_ds

from pacs.part10.values import BINARY_NUMBERS

LONG_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
"""With a 32-bit length (PS3.5 §7.1.2)."""
BINARY_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs that Specific Character Set governs (PS3.5 §6.1.2.3)."""
SINGLE_VALUE_VRS: Final = frozenset({"LT", "ST", "UR", "UT"})
"""A backslash is a character of these (PS3.5 §6.2)."""
KNOWN_VRS: Final = (
    LONG_VRS | TEXT_VRS | BINARY_NUMBERS.keys() | {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "IS", "TM", "UI"}
)

MAX_SHORT_LENGTH: Final = 0xFFFF
UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
"""Item of undefined length, little endian."""
ITEM_DELIMITATION: Final = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
SEQUENCE_DELIMITATION: Final = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)

_PERSON_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,20}\s*")
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_NOT_FINITE = {"nan": "nan", "inf": "inf", "infinity": "inf", "-inf": "-inf", "-infinity": "-inf"}
_DS_CHARACTERS = 16
_IS_CHARACTERS = 12

EncodeText = Callable[[str], bytes]


def element_head(tag: int, vr: str, length: int, *, is_implicit_vr: bool, is_little_endian: bool = True) -> bytes:
    """Tag, VR and length (PS3.5 §7.1.2, §7.1.3). A value too long for its VR goes as UN (§6.2.2)."""
    order = "<" if is_little_endian else ">"
    if is_implicit_vr:
        return struct.pack(f"{order}HHL", tag >> 16, tag & 0xFFFF, length)
    if vr not in LONG_VRS:
        if length <= MAX_SHORT_LENGTH:
            return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)
        vr = "UN"
    return struct.pack(f"{order}HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)


def padding(vr: str, length: int) -> bytes:
    """What makes a value of `length` bytes even (PS3.5 §6.2)."""
    if not length % 2:
        return b""
    return b"\0" if vr == "UI" or vr in BINARY_VRS else b" "


def encoded_values(vr: str, values: list[Any], encode: EncodeText, *, is_little_endian: bool = True) -> bytes:
    """`values` of any VR but SQ and the binary ones, padded. `encode` writes text of the VRs of `TEXT_VRS`.

    Numbers may come as numbers or as text. Null among numbers of FL and FD is NaN, as JSON has no word for it.

    Raises:
        ValueError: a value does not fit the VR, or `encode` cannot write it (UnicodeError).
    """
    try:
        return _encoded(vr, values, encode, "<" if is_little_endian else ">")
    except (struct.error, OverflowError):
        raise ValueError(f"holds a number that {vr} cannot hold") from None


def _encoded(vr: str, values: list[Any], encode: EncodeText, order: str) -> bytes:
    if vr in BINARY_NUMBERS:
        read = _real if vr in {"FL", "FD"} else _whole
        numbers = [read(value) for value in values]
        return struct.pack(f"{order}{len(numbers)}{BINARY_NUMBERS[vr][0]}", *numbers)
    if vr == "AT":
        return b"".join(struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) for tag in map(_tag, values))
    text = "\\".join(value_text(vr, value) for value in values)
    if vr in SINGLE_VALUE_VRS and len(values) > 1:
        raise ValueError(f"has {len(values)} values, {vr} has one")
    encoded = encode(text) if vr in TEXT_VRS else text.encode("ascii")
    return encoded + padding(vr, len(encoded))


def inline_binary(value: Any) -> bytes:
    """The bytes of an InlineBinary, padded. Raises ValueError when it is no base64."""
    if not isinstance(value, str):
        raise ValueError("has an InlineBinary that is no string")  # noqa: TRY004 -- it is the peer's value
    decoded = base64.b64decode("".join(value.split()), validate=True)
    return decoded + b"\0" * (len(decoded) % 2)


def value_text(vr: str, value: Any) -> str:
    """One value of a VR that is written as text. Raises ValueError when it cannot be one."""
    if value is None:
        return ""
    if vr == "PN":
        return _person_name(value)
    if isinstance(value, bool):
        raise ValueError(f"holds a truth value, {vr} has none")  # noqa: TRY004
    if isinstance(value, int | float):
        if vr == "DS":
            return decimal_string(value)
        if vr == "IS":
            return _integer_string(value)
        raise ValueError(f"holds a number, {vr} is text")
    if not isinstance(value, str):
        raise ValueError(f"holds a value that is neither text nor number, {vr} cannot be that")  # noqa: TRY004
    if "\\" in value and vr not in SINGLE_VALUE_VRS:
        raise ValueError(f"holds a backslash inside a value, which {vr} cannot have")
    if (vr == "DS" and value and not _DECIMAL.fullmatch(value)) or (
        vr == "IS" and value and not _INTEGER.fullmatch(value)
    ):
        raise ValueError(f"holds text that is no {vr}")
    return value


def decimal_string(value: float) -> str:
    """A number as DS, within its 16 characters; rounded only where it has more digits. Raises ValueError."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    text = repr(value)
    return text if len(text) <= _DS_CHARACTERS else str(format_number_as_ds(float(value)))


def _integer_string(value: float) -> str:
    if value != int(value) or len(str(int(value))) > _IS_CHARACTERS:
        raise ValueError("holds a number that is no IS")
    return str(int(value))


def _person_name(value: Any) -> str:
    """A name of the JSON Model (PS3.18 F.2.2), or one written as one string."""
    groups: Iterable[Any] = [value]
    if isinstance(value, dict):
        if not value.keys() <= set(_PERSON_NAME_GROUPS):
            raise ValueError("holds a name with groups other than Alphabetic, Ideographic, Phonetic")
        groups = [value.get(group, "") for group in _PERSON_NAME_GROUPS]
    texts = ["" if group is None else group for group in groups]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("holds a name that is no text")
    if any("\\" in text or (isinstance(value, dict) and "=" in text) for text in texts):
        raise ValueError("holds a delimiter inside a component group of a name")
    return "=".join(texts).rstrip("=")


def _tag(value: Any) -> int:
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise ValueError("holds a value that is no tag of eight hex digits")
    return int(value, 16)


def _whole(value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError("holds a value that is no whole number")
    return int(value)


def _real(value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, str):
        known = _NOT_FINITE.get(value.strip().lower())
        if known is None and not _DECIMAL.fullmatch(value):
            raise ValueError("holds a value that is no number")
        return float(known or value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("holds a value that is no number")  # noqa: TRY004
    return float(value)
