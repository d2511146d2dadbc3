"""Real images: what one archive says of them in JSON and XML, posted to another archive, is the same data set there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from pacs.dicomweb.resources import ResourceKey
from pacs.errors import PacsError
from pacs.model import DicomJson, Principal, Source
from tests.dicomweb.metadata_requests import XML, Bulk, metadata_body
from tests.dicomweb.served import DoorInMemory, archive_under, mounted, parts_of

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(900)]

SOURCE = Source(Principal("test"), "import")
NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


class QuickDoor(DoorInMemory):
    """One application, loop and client for all requests."""

    @contextlib.contextmanager
    def open(self) -> Iterator[QuickDoor]:
        with asyncio.Runner() as self.runner:
            self.client = httpx.AsyncClient(
                transport=httpx.ASGITransport(mounted(self.application()), raise_app_exceptions=False),
                base_url=self.base,
                headers={"accept": "*/*"},
            )
            yield self
            self.runner.run(self.client.aclose())

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.runner.run(self.client.request(method, path, **options))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("first")) as services, QuickDoor(*services).open() as door:
        yield door


@pytest.fixture(scope="module", params=["JSON", "XML"])
def second(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, DoorInMemory]]:
    with archive_under(tmp_path_factory.mktemp("second")) as services, QuickDoor(*services).open() as door:
        yield request.param, door


@pytest.fixture(scope="module")
def kept(first: DoorInMemory, corpus: Path) -> list[tuple[str, ResourceKey]]:
    """Every file of the corpus that can be kept, once for each instance; of a long series the first two."""
    found: dict[ResourceKey, str] = {}
    paths = [path for path in sorted(corpus.rglob("*")) if path.is_file()]
    folders: dict[Path, int] = {}
    for path in paths:
        is_series = path.suffix == ".dcm" and path.stem.isdigit()
        folders[path.parent] = folders.get(path.parent, 0) + 1
        if is_series and folders[path.parent] > 2:
            continue
        try:
            stored = first.ingest.store_file(SOURCE, path.read_bytes())
        except PacsError:
            continue
        key = stored.key
        found.setdefault(
            ResourceKey(key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid),
            path.relative_to(corpus).as_posix(),
        )
    return [(name, key) for key, name in found.items()]


def uris(attributes: DicomJson) -> Iterator[str]:
    for attribute in attributes.values():
        if "BulkDataURI" in attribute:
            yield attribute["BulkDataURI"]
        if attribute["vr"] == "SQ":
            for item in attribute.get("Value", []):
                yield from uris(item or {})


def bulk_of(door: DoorInMemory, uri: str) -> list[Bulk]:
    """The value, or its frames, as the archive hands it out."""
    answer = door.get(uri.removeprefix(door.base))
    assert answer.status_code == 200, (uri, answer.text)
    if answer.headers["content-type"].startswith("multipart/"):
        return [Bulk(uri, value, fields["content-type"]) for fields, value in parts_of(answer)]
    return [Bulk(uri, answer.content, answer.headers["content-type"])]


def as_xml(attributes: DicomJson) -> bytes:
    """A Native DICOM Model document, by nobody's code but this."""
    ElementTree.register_namespace("", NAMESPACE[1:-1])
    root = ElementTree.Element(NAMESPACE + "NativeDicomModel")
    _fill(root, attributes)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _fill(parent: ElementTree.Element, attributes: DicomJson) -> None:
    for tag, attribute in attributes.items():
        element = ElementTree.SubElement(parent, NAMESPACE + "DicomAttribute", tag=tag, vr=attribute["vr"])
        if "BulkDataURI" in attribute:
            ElementTree.SubElement(element, NAMESPACE + "BulkData", uri=attribute["BulkDataURI"])
        if "InlineBinary" in attribute:
            ElementTree.SubElement(element, NAMESPACE + "InlineBinary").text = attribute["InlineBinary"]
        for number, value in enumerate(attribute.get("Value", []), start=1):
            _value(element, attribute["vr"], str(number), value)


def _value(element: ElementTree.Element, vr: str, number: str, value: Any) -> None:
    if vr == "SQ":
        _fill(ElementTree.SubElement(element, NAMESPACE + "Item", number=number), value or {})
    elif vr == "PN":
        name = ElementTree.SubElement(element, NAMESPACE + "PersonName", number=number)
        for group, text in (value or {}).items():
            parts = ElementTree.SubElement(name, NAMESPACE + group)
            for component, each in zip(
                ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"), text.split("^", 4), strict=False
            ):
                ElementTree.SubElement(parts, NAMESPACE + component).text = each
    else:
        text = ("NaN" if vr in {"FL", "FD"} else "") if value is None else str(value)
        ElementTree.SubElement(element, NAMESPACE + "Value", number=number).text = text


def normal(attributes: DicomJson) -> DicomJson:
    """Without what may differ, each for a reason."""
    result: DicomJson = {}
    for tag, attribute in attributes.items():
        if tag in {"00080005", "00083002"}:
            continue  # always Unicode; and of the service, not of the instance
        found = dict(attribute)
        if found["vr"] == "SQ":
            found["Value"] = [normal(item or {}) for item in attribute.get("Value", [])]
        if "BulkDataURI" in found:
            found["BulkDataURI"] = "its bytes are compared"
        if found["vr"] == "PN" and "Value" in found:
            # Empty components at the end mean nothing (PS3.5 §6.2); XML cannot write them.
            names = [{group: text.rstrip("^") for group, text in (name or {}).items()} for name in found["Value"]]
            found["Value"] = [{group: text for group, text in name.items() if text} for name in names]
            if found["Value"] == [{}]:
                del found["Value"]
        if found["vr"] == "DS":
            # More digits than the 16 characters of a DS hold are rounded.
            found["Value"] = [
                float(f"{value:.9e}") if isinstance(value, int | float) else value for value in found.get("Value", [])
            ]
        if tag == "7FE00010":
            found["vr"] = "OB or OW"
        result[tag] = found
    return result


NOT_WHAT_THEY_SAY = {
    # Elements of a data set stand in its only frame before the JPEG; no decoder takes it.
    "google-adapter/integration_test/data/example3.dcm": "no image/jpeg: the frame is no JPEG: it starts with 2000",
}
"""Kept as files, as sent; as metadata and bulk data refused, for this reason: a frame must be of its media type."""


def test_every_file_comes_through(
    first: DoorInMemory, second: tuple[str, DoorInMemory], kept: list[tuple[str, ResourceKey]]
) -> None:
    """Twenty instances in each request; each file in one of the two forms, in both under `make soak`."""
    kind, other = second
    assert len(kept) > 700
    if not os.environ.get("PACS_SOAK"):
        kept = kept[("JSON", "XML").index(kind) :: 2]
    wrong = []
    for start in range(0, len(kept), 20):
        batch = kept[start : start + 20]
        sent = [_sent(first, key) for _, key in batch]
        body, content_type = _request(kind, sent)
        answer = other.post("/studies", body, content_type)
        refused = [reason for name, _ in batch if (reason := NOT_WHAT_THEY_SAY.get(name))]
        if answer.status_code != (202 if refused else 200) or answer.text.count('"00081197"') != len(refused):
            wrong.append(f"{batch[0][0]} ...: {answer.status_code} {answer.text[-300:]}")
        wrong += [f"not refused: {reason}" for reason in refused if reason not in answer.text]
        for (name, key), (attributes, bulk) in zip(batch, sent, strict=True):
            answer = other.get(f"{key.path}/metadata")
            if name in NOT_WHAT_THEY_SAY and answer.status_code == 404:
                continue
            if answer.status_code != 200:
                wrong.append(f"{name}: {answer.status_code}")
                continue
            (found,) = answer.json()
            wrong += [f"{name}: {difference}" for difference in differences(normal(attributes), normal(found))[:3]]
            values = [part.value for uri in dict.fromkeys(uris(found)) for part in bulk_of(other, uri)]
            if [value.rstrip(b"\0") for value in values] != [part.value.rstrip(b"\0") for part in bulk]:
                wrong.append(f"{name}: {len(bulk)} bulk values sent, {len(values)} found, or other bytes")
    assert not wrong, f"{len(wrong)} of {len(kept)}\n" + "\n".join(wrong)


def _sent(door: DoorInMemory, key: ResourceKey) -> tuple[DicomJson, list[Bulk]]:
    (attributes,) = door.get(f"{key.path}/metadata").json()
    return attributes, [part for uri in dict.fromkeys(uris(attributes)) for part in bulk_of(door, uri)]


def _request(kind: str, sent: list[tuple[DicomJson, list[Bulk]]]) -> tuple[bytes, str]:
    bulk = [part for _, parts in sent for part in parts]
    data_sets = [attributes for attributes, _ in sent]
    if kind == "JSON":
        return metadata_body([json.dumps(data_sets).encode()], bulk, boundary="5aad0c6e2b")
    return metadata_body([as_xml(data_set) for data_set in data_sets], bulk, XML, boundary="5aad0c6e2b")


def differences(expected: DicomJson, found: DicomJson) -> list[str]:
    return [
        f"{tag}: {str(expected.get(tag))[:200]} became {str(found.get(tag))[:200]}"
        for tag in sorted(expected.keys() | found.keys())
        if expected.get(tag) != found.get(tag)
    ]
