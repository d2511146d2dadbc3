"""DICOM JSON attributes -> the bytes of an identifier, in the requester's transfer syntax and character set.

Pure: PS3.5 §6.1 (character sets), §6.2 (padding), §7.1 (element headers), Annex A.5 (deflated).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from pacs.model import DicomJson
from pacs.part10 import character_sets
from pacs.part10.transfer_syntax import TransferSyntax, transfer_syntax
from pacs.part10.value_writer import (
    LONG_VRS,
    TEXT_VRS,
    decimal_string,
    element_head,
    encoded_values,
    inline_binary,
    padding,
)
from pacs.part10.values import BINARY_NUMBERS

UTF_8 = "ISO_IR 192"

_ASCII = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
_PERSON_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_MAX_SHORT_LENGTH = 0xFFFE

_Encoder = Callable[[str], bytes]


def encode_identifier(attributes: DicomJson, transfer_syntax_uid: str, character_set: Sequence[str] = ()) -> bytes:
    """`attributes` as a data set, elements in order.

    `character_set` is the request's (0008,0005). The answer uses it when every value can be written in it, otherwise
    UTF-8 (``ISO_IR 192``); an answer of plain ASCII to a request without a character set, or with one that nobody
    knows, names none. Values that do not fit their VR are sent empty rather than wrong.
    """
    syntax = transfer_syntax(transfer_syntax_uid)
    if not _is_known(character_set):
        character_set = ()
    try:
        encoded = _data_set(attributes, syntax, character_set, _encoder(character_set))
    except UnicodeError:
        encoded = _data_set(attributes, syntax, (UTF_8,), _encoder((UTF_8,)))
    if not syntax.is_deflated:
        return encoded
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(encoded) + deflater.flush()
    return deflated + b"\0" * (len(deflated) % 2)


def _is_known(character_set: Sequence[str]) -> bool:
    """Whether it is more than words that stand for nothing, which a reader could not make anything of either."""
    return _ASCII.issuperset(character_set) or {*_encodings(character_set)} != {*_encodings(())}


def _data_set(attributes: DicomJson, syntax: TransferSyntax, character_set: Sequence[str], encode: _Encoder) -> bytes:
    named: DicomJson = {**attributes, "00080005": {"vr": "CS", "Value": list(character_set)}}
    if not any(character_set) and not attributes.get("00080005"):
        del named["00080005"]
    return _elements(named, syntax, encode)


def _elements(attributes: DicomJson, syntax: TransferSyntax, encode: _Encoder) -> bytes:
    return b"".join(_element(int(tag, 16), attributes[tag], syntax, encode) for tag in sorted(attributes))


def _element(tag: int, attribute: dict[str, Any], syntax: TransferSyntax, encode: _Encoder) -> bytes:
    vr = str(attribute["vr"])
    value = _value(vr, attribute, syntax, encode)
    if vr not in LONG_VRS and len(value) > _MAX_SHORT_LENGTH and not syntax.is_implicit_vr:
        value = b""
    is_little_endian = syntax.is_little_endian
    head = element_head(tag, vr, len(value), is_implicit_vr=syntax.is_implicit_vr, is_little_endian=is_little_endian)
    return head + value


def _value(vr: str, attribute: dict[str, Any], syntax: TransferSyntax, encode: _Encoder) -> bytes:
    values: list[Any] = attribute.get("Value") or []
    if vr == "SQ":
        return b"".join(_item(item or {}, syntax, encode) for item in values)
    if "InlineBinary" in attribute or vr in BINARY_NUMBERS or vr == "AT":
        try:
            if "InlineBinary" in attribute:
                return inline_binary(attribute["InlineBinary"])
            if vr != "AT":
                values = [value for value in values if value is not None]
            return encoded_values(vr, values, encode, is_little_endian=syntax.is_little_endian)
        except ValueError:
            return b""
    text = "\\".join(_text(vr, v) for v in values)
    value = encode(text) if vr in TEXT_VRS else text.encode("ascii", "replace")
    return value + padding(vr, len(value))


def _item(attributes: DicomJson, syntax: TransferSyntax, encode: _Encoder) -> bytes:
    # It is written in the answer's character set, whatever it came in.
    content = _elements({tag: one for tag, one in attributes.items() if tag != "00080005"}, syntax, encode)
    return struct.pack(f"{'<' if syntax.is_little_endian else '>'}HHL", 0xFFFE, 0xE000, len(content)) + content


def _text(vr: str, value: Any) -> str:
    """One value of the JSON model as DICOM text; DS and IS numbers within their 16 and 12 characters."""
    if value is None:
        return ""
    if vr == "PN":
        if isinstance(value, dict):
            return "=".join(str(value.get(group, "")) for group in _PERSON_NAME_GROUPS).rstrip("=")
        return str(value)
    if vr == "DS" and isinstance(value, float):
        try:
            return decimal_string(value)
        except (ValueError, OverflowError):
            return ""
    return str(value)


def _encoder(character_set: Sequence[str]) -> _Encoder:
    """A function from text to bytes that raises UnicodeError for what `character_set` cannot write."""
    if not any(character_set):
        return lambda text: text.encode("ascii")
    return character_sets.encoder(_encodings(character_set))


def _encodings(character_set: Sequence[str]) -> tuple[str, ...]:
    return character_sets.encodings("\\".join(character_set).encode("ascii", "replace"))
