"""Store requests of metadata and bulk data, written part by part."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pacs.model import DicomJson

JSON = "application/dicom+json"
XML = "application/dicom+xml"


@dataclass(frozen=True)
class Bulk:
    """A part with a value or a frame."""

    uri: str
    value: bytes
    content_type: str = "application/octet-stream"


def metadata_body(documents: list[bytes], bulk: list[Bulk], kind: str = JSON, boundary: str = "B") -> tuple[bytes, str]:
    """Body and Content-Type."""
    parts = [f"Content-Type: {kind}\r\n\r\n".encode() + document for document in documents]
    parts += [
        f"Content-Type: {each.content_type}\r\nContent-Location: {each.uri}\r\n\r\n".encode() + each.value
        for each in bulk
    ]
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return body + f"--{boundary}--\r\n".encode(), f'multipart/related; type="{kind}"; boundary={boundary}'


def json_body(instances: list[Any], bulk: list[Bulk]) -> tuple[bytes, str]:
    """One JSON part with all instances."""
    return metadata_body([json.dumps(instances).encode()], bulk)


def metadata(uid: str, **attributes: Any) -> DicomJson:
    """A small CT slice; `attributes` by tag as ``t00280010={...}``, None to leave one out."""
    found: DicomJson = {
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00080018": {"vr": "UI", "Value": [uid]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "KIM^SU", "Ideographic": "김^수"}]},
        "00280002": {"vr": "US", "Value": [1]},
        "00280010": {"vr": "US", "Value": [4]},
        "00280011": {"vr": "US", "Value": [6]},
        "00280100": {"vr": "US", "Value": [16]},
        "00280101": {"vr": "US", "Value": [16]},
        "00280103": {"vr": "US", "Value": [0]},
        "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
        "7FE00010": {"vr": "OW", "BulkDataURI": f"bulk/{uid}"},
    }
    for name, value in attributes.items():
        found[name[1:]] = value
    return {tag: value for tag, value in found.items() if value is not None}
