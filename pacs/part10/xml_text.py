"""Native DICOM Model documents of instances as text (PS3.19 Annex A.1), as parts of one body; see `instance_texts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from pacs.model import DicomJson
from pacs.part10.dicom_xml import DOCUMENT_BEGINS, DOCUMENT_ENDS, attributes_text
from pacs.part10.instance_texts import InstanceTexts

BOUNDARY: Final = "NativeDicomModel_5b1d0c6ea2f94e37"
"""Between documents in multipart/related. The same for all, so that they can be kept compressed; none contains it."""
_BOUNDARY: Final = BOUNDARY.encode("ascii")
_WRITTEN_DIFFERENTLY: Final = b"&#%d;" % _BOUNDARY[0] + _BOUNDARY[1:]
_URI: Final = '<BulkData uri="\ufffd'
"""How the NUL before a bulk data URI is written. No value looks like it: there, an angle bracket is an entity."""


class XmlTexts(InstanceTexts):
    """Whole documents. What a bulk data URI begins with is white space, ``uri="`` and the address."""

    names_creators: ClassVar[bool] = True

    def encoded(self, attributes: DicomJson, creators: DicomJson) -> bytes:
        """An attribute's element."""
        text = attributes_text(attributes, creators)
        if _URI in text:
            text = text.replace(_URI, "<BulkData\0")
        return text.encode("utf-8", "replace").replace(_BOUNDARY, _WRITTEN_DIFFERENTLY)

    def whole(self, texts: Sequence[bytes]) -> bytes:
        return b"".join((DOCUMENT_BEGINS, *texts, DOCUMENT_ENDS))
