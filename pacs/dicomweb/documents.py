"""Instances that are documents, at ``/rendered`` (PS3.18 §8.7.4): reports as HTML or text, other files as they are.

A document comes from outside and is shown by a browser, with the archive's address above it: nothing in it may run,
load or ask for anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope

from pacs.dicomweb.accept import MediaRange, Offer, choose
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.report import FORM, as_html, as_text, report
from pacs.dicomweb.requests import is_not_modified
from pacs.dicomweb.responses import entity_tag
from pacs.dicomweb.services import Services
from pacs.errors import NotAcceptable
from pacs.model import StoredInstance
from pacs.part10.header import Header

_ENCAPSULATED_DOCUMENT, _DOCUMENT_LENGTH = 0x00420011, 0x00420015
_SNIFFED_BYTES = 1024


@dataclass(frozen=True, slots=True)
class _FileKind:
    """A kind of encapsulated file."""

    media_type: str
    suffix: str
    begins: tuple[bytes, ...] = ()
    """One of these is near its start; none when there is nothing to tell it by."""


_FILES = {
    "1.2.840.10008.5.1.4.1.1.104.1": _FileKind("application/pdf", "pdf", (b"%PDF-",)),
    "1.2.840.10008.5.1.4.1.1.104.2": _FileKind("text/xml", "xml", (b"<", b"<\0", b"\0<")),
    "1.2.840.10008.5.1.4.1.1.104.3": _FileKind("model/stl", "stl"),
    "1.2.840.10008.5.1.4.1.1.104.4": _FileKind("model/obj", "obj"),
    "1.2.840.10008.5.1.4.1.1.104.5": _FileKind("model/mtl", "mtl"),
}
"""By SOP class: the media type that an instance names itself is not trusted."""
_REPORTS = frozenset(
    f"1.2.840.10008.5.1.4.1.1.88.{number}"
    for number in (
        *("1", "2", "3", "4", "11", "22", "33", "34", "35", "40", "50", "59", "65", "67", "68", "69", "70", "71", "72"),
        *("73", "74", "75", "76"),
    )
)
"""Structured reports and key object selections, also those of trial use."""
_REPORT_OFFERS = (Offer("text/html"), Offer("text/plain"))

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox"
"""For what a browser shows as a page: no script, picture, frame, form or address works, and it has no origin."""
_POLICY_OF_PDF = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"
"""A sandbox would keep browsers from showing a PDF at all; their viewers run no script of it with the page's rights."""


def is_document(sop_class_uid: str) -> bool:
    """Whether instances of this class are documents here."""
    return sop_class_uid in _FILES or sop_class_uid in _REPORTS


def file_offers(sop_class_uid: str, path: str) -> tuple[Offer, ...]:
    """What the value at `path` of an instance's bulk data is besides bytes: its file, where it encapsulates one."""
    kind = _FILES.get(sop_class_uid)
    return (Offer(kind.media_type),) if kind is not None and path == f"{_ENCAPSULATED_DOCUMENT:08X}" else ()


def document(services: Services, scope: Scope, instance: StoredInstance, accepted: Sequence[MediaRange]) -> Answer:
    """The document in the form that `accepted` likes best.

    Raises:
        NotAcceptable: none of its forms is accepted, or the instance holds no document.
    """
    kind = _FILES.get(instance.sop_class_uid)
    offer = choose(accepted, (Offer(kind.media_type),) if kind is not None else _REPORT_OFFERS)
    tag = entity_tag(instance.digest, "document", FORM, offer.media_type)
    caching = {"etag": tag, "cache-control": services.caching_of_instances, "vary": "Accept"}
    if is_not_modified(scope, tag):
        return Answer(caching, status=304)
    header = services.retrieve.header(instance)
    uid = instance.key.sop_instance_uid
    body: bytes | memoryview
    if kind is not None:
        body, content_type, suffix = _file(header, kind), kind.media_type, kind.suffix
    else:
        found = report(header)
        text, suffix = (as_html(found), "html") if offer.media_type == "text/html" else (as_text(found), "txt")
        body, content_type = text.encode("utf-8", "replace"), f"{offer.media_type}; charset=utf-8"
    # Models are for other programs than the browser.
    disposition = "attachment" if content_type.startswith("model/") else "inline"
    headers = {
        "content-type": content_type,
        "content-disposition": f'{disposition}; filename="{uid}.{suffix}"',
        "content-security-policy": _POLICY_OF_PDF if content_type == "application/pdf" else CONTENT_SECURITY_POLICY,
        "content-length": str(len(body)),
        "x-content-type-options": "nosniff",
        **caching,
    }
    return Answer(headers, (body,))


def _file(header: Header, kind: _FileKind) -> memoryview:
    """The encapsulated file without the padding to an even length.

    Raises:
        NotAcceptable: there is none, or it is another kind of file.
    """
    value = header.value(_ENCAPSULATED_DOCUMENT)
    if not value:
        raise NotAcceptable("the instance holds no Encapsulated Document (0042,0011)")
    length = header.integer(_DOCUMENT_LENGTH)
    if length is None:
        length = len(value) - (len(value) > 1 and value[-1] == 0)
    file = value[: max(0, length)]
    beginning = bytes(file[:_SNIFFED_BYTES])
    if kind.begins and not any(mark in beginning for mark in kind.begins):
        raise NotAcceptable(f"what the instance encapsulates is no {kind.media_type}; retrieve it as application/dicom")
    return file
