"""The DICOM JSON Model -> a Native DICOM Model document (PS3.19 Annex A.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

from pacs.model import DicomJson

NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold; they become U+FFFD."""


DOCUMENT_BEGINS: Final = (
    f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'.encode()
)
DOCUMENT_ENDS: Final = b"</NativeDicomModel>"


def to_xml(attributes: DicomJson) -> bytes:
    """The data set as one UTF-8 document. Private attributes keep their tags and name their creator."""
    text = attributes_text(attributes, attributes)
    return b"".join((DOCUMENT_BEGINS, text.encode("utf-8", "replace"), DOCUMENT_ENDS))


def attributes_text(attributes: DicomJson, creators: DicomJson) -> str:
    """The elements of a document of these attributes, of a data set that has `creators` for the private ones."""
    return "".join(_data_set(attributes, creators))


def _data_set(attributes: DicomJson, creators: DicomJson) -> Iterator[str]:
    for key in sorted(attributes):
        attribute = attributes[key]
        head = f'<DicomAttribute tag="{key}" vr="{attribute["vr"]}"{_names(creators, key)}'
        content = "".join(_content(attribute))
        yield f"{head}>{content}</DicomAttribute>" if content else f"{head}/>"


def _names(creators: DicomJson, key: str) -> str:
    tag = int(key, 16)
    if not tag & 0x10000:
        keyword = keyword_for_tag(tag)
        return f' keyword="{keyword}"' if keyword else ""
    creator = creators.get(f"{tag & 0xFFFF0000 | tag >> 8 & 0xFF:08X}", {}).get("Value", [None])[0]
    return f" privateCreator={_attribute(creator)}" if isinstance(creator, str) and tag & 0xFF00 else ""


def _content(attribute: dict[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in attribute:
        yield f"<BulkData uri={_attribute(attribute['BulkDataURI'])}/>"
    elif "InlineBinary" in attribute:
        yield f"<InlineBinary>{attribute['InlineBinary']}</InlineBinary>"
    else:
        for number, value in enumerate(attribute.get("Value", ()), start=1):
            yield from _value(attribute["vr"], number, value)


def _value(vr: str, number: int, value: Any) -> Iterator[str]:
    if vr == "SQ":
        yield f'<Item number="{number}">'
        yield from _data_set(value or {}, value or {})
        yield "</Item>"
    elif value is None:
        # A number that is none: JSON has null for it, XML has the word.
        yield f'<Value number="{number}">{"NaN" if vr in {"FL", "FD"} else ""}</Value>'
    elif vr == "PN":
        yield f'<PersonName number="{number}">'
        for group in _GROUPS:
            if value.get(group):
                yield f"<{group}>{''.join(_components(value[group]))}</{group}>"
        yield "</PersonName>"
    else:
        yield f'<Value number="{number}">{_text(value)}</Value>'


def _components(name: str) -> Iterator[str]:
    # A name with more components than the standard has keeps the rest in the last one.
    for component, text in zip(_COMPONENTS, name.split("^", len(_COMPONENTS) - 1), strict=False):
        if text:
            yield f"<{component}>{_text(text)}</{component}>"


def _text(value: object) -> str:
    # A reader would turn a bare carriage return into a line feed (XML 1.0 §2.11).
    return escape(_NO_XML.sub("\ufffd", str(value)), {"\r": "&#13;"})


def _attribute(value: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", value))
