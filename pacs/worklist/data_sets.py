"""Data sets of requests in the one form that is kept: the DICOM JSON Model as this archive writes it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pacs.errors import MalformedDataSet
from pacs.model import DicomJson
from pacs.part10.data_set_writer import encoded_data_set
from pacs.part10.dicom_json import to_json
from pacs.part10.header import scan
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN


def normal_form(attributes: Any) -> DicomJson:
    """`attributes` as they would come back from a file: numbers as numbers, text stripped, by tag, groups apart.

    Raises:
        MalformedDataSet: no data set of the DICOM JSON Model, or with bulk data, which a workitem never has
            (PS3.18 §11.1.3).
    """
    pieces = encoded_data_set(attributes)
    data_set = bytearray()
    for piece in pieces:
        if not isinstance(piece, bytes):
            raise MalformedDataSet("a workitem has no bulk data (PS3.18 §11.1.3); send the value itself")
        data_set += piece
    if not data_set:
        return {}
    return to_json(scan(data_set, EXPLICIT_VR_LITTLE_ENDIAN))


def has_value(attribute: dict[str, Any] | None) -> bool:
    """Whether an attribute is there and not empty; of a sequence, whether it has an item."""
    if not attribute:
        return False
    if attribute.get("InlineBinary"):
        return True
    return any(value not in (None, "", {}) or attribute["vr"] == "SQ" for value in attribute.get("Value", ()))


def items_of(data_set: DicomJson, key: str) -> list[DicomJson]:
    """The items of a sequence; none when it is absent, empty or no sequence."""
    attribute = data_set.get(key, {})
    return [item or {} for item in attribute.get("Value", ())] if attribute.get("vr") == "SQ" else []


def first_text(data_set: DicomJson, key: str) -> str:
    """The first value as text, empty when there is none."""
    values = data_set.get(key, {}).get("Value") or [None]
    return "" if values[0] is None or isinstance(values[0], dict) else str(values[0])


def date_time(seconds: float) -> str:
    """A moment, in seconds since 1970, as DT in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S.%f+0000")
