"""The DICOM JSON Model of instances as text (PS3.18 Annex F); see `instance_texts`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar, Final

from pacs.model import DicomJson
from pacs.part10.instance_texts import InstanceTexts

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_URI: Final = '"BulkDataURI":"\\u0000'
"""How the encoder writes the beginning of a bulk data URI. No value looks like it: its quotation marks have a backslash
before them there."""


class JsonTexts(InstanceTexts):
    """Compact objects. What a bulk data URI begins with is a JSON string without its end, quotation mark included."""

    names_creators: ClassVar[bool] = False

    def encoded(self, attributes: DicomJson, creators: DicomJson) -> bytes:
        """A member of an object."""
        text = _ENCODER.encode(attributes)[1:-1]
        if _URI in text:
            text = text.replace(_URI, '"BulkDataURI":\0')
        return text.encode("utf-8", "replace")

    def whole(self, texts: Sequence[bytes]) -> bytes:
        return b"{" + b",".join(texts) + b"}"
