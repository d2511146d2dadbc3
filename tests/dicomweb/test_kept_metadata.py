"""Metadata that was made once: always equal to what is made of the bytes now, whatever came meanwhile and from whom."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from pacs import metadata
from pacs.dicomweb.resources import ResourceKey
from pacs.errors import Conflict, PeerFault
from pacs.lifecycle import Lifecycle
from pacs.model import DicomJson, Principal, Source
from pacs.part10.dicom_xml import to_xml
from pacs.part10.dicom_xml_reader import read_xml
from pacs.part10.instance_texts import InstanceTexts
from pacs.part10.xml_text import BOUNDARY
from pacs.settings import IngestSettings, LifecycleSettings
from pacs.storage.derived import DerivedStore
from tests.dicomweb.served import DoorInMemory, archive_under, image, mounted, parts_of

BOTH = IngestSettings(duplicates="keep-both")
VIEWER = Principal("viewer")


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[tuple[DoorInMemory, DoorInMemory]]:
    """Two processes of one archive."""
    with ExitStack() as stack:
        mine, theirs = (DoorInMemory(*stack.enter_context(archive_under(tmp_path, BOTH))) for _ in range(2))
        yield mine, theirs


def settle(door: DoorInMemory) -> int:
    retrieve = door.retrieve
    settings = LifecycleSettings(settle_after_s=-1)
    return Lifecycle(retrieve._index, retrieve._store, retrieve._derived, settings).settle_once()


def made_now(door: DoorInMemory, key: ResourceKey) -> list[DicomJson]:
    """From the bytes of each instance, nothing remembered."""
    told = []
    for instance in door.retrieve.instances(
        VIEWER,
        study_instance_uid=key.study_instance_uid,
        series_instance_uid=key.series_instance_uid,
        sop_instance_uid=key.sop_instance_uid,
    ):
        each = instance.key
        path = ResourceKey(each.study_instance_uid, each.series_instance_uid, each.sop_instance_uid).path
        attributes = door.retrieve.metadata(instance, f"{door.base}{path}/bulkdata")
        attributes["00083002"] = {"vr": "UI", "Value": [instance.transfer_syntax_uid]}
        told.append(dict(sorted(attributes.items())))
    return json.loads(json.dumps(told))


def told(door: DoorInMemory, key: ResourceKey) -> list[DicomJson]:
    """What the door answers, which is the same plain and compressed, with one gzip member and honest lengths."""
    plain, packed = door.get(f"{key.path}/metadata"), door.get(f"{key.path}/metadata", accept_encoding="gzip")
    assert plain.status_code == packed.status_code == 200
    assert plain.content == packed.content
    assert int(plain.headers["content-length"]) == len(plain.content)
    assert plain.headers["etag"] != packed.headers["etag"]
    found: list[DicomJson] = plain.json()
    assert [list(each) for each in found] == [sorted(each) for each in found]
    assert documents(door, key) == [to_xml(each) for each in found]
    return found


def documents(door: DoorInMemory, key: ResourceKey) -> list[bytes]:
    """What the door tells in XML, plain and compressed, without the room that is left for addresses."""
    accept = 'multipart/related; type="application/dicom+xml"'
    plain = door.get(f"{key.path}/metadata", accept=accept)
    packed = door.get(f"{key.path}/metadata", accept=accept, accept_encoding="gzip")
    assert plain.status_code == packed.status_code == 200
    assert plain.content == packed.content
    assert int(plain.headers["content-length"]) == len(plain.content)
    assert plain.headers["etag"] != packed.headers["etag"]
    for answer in (plain, packed):
        again = door.get(
            f"{key.path}/metadata",
            accept=accept,
            accept_encoding=answer.headers.get("content-encoding", "identity"),
            if_none_match=answer.headers["etag"],
        )
        assert (again.status_code, again.content) == (304, b"")
    parts = parts_of(plain)
    assert {fields["content-type"] for fields, _ in parts} == {"application/dicom+xml"}
    if len(parts) == 1:
        alone = door.get(f"{key.path}/metadata", accept="application/dicom+xml")
        assert (alone.headers["content-type"], alone.content) == ("application/dicom+xml", parts[0][1])
    return [re.sub(rb"<BulkData\s+uri", b"<BulkData uri", document) for _, document in parts]


def raw(door: DoorInMemory, path: str, coding: str) -> tuple[str, bytes]:
    """Entity tag and body as it is sent, which httpx would inflate."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/dicomweb{path}/metadata",
        "query_string": b"",
        "headers": [(b"host", b"archive.test"), (b"accept-encoding", coding.encode())],
    }
    asyncio.run(mounted(door.application())(scope, None, send))  # type: ignore[arg-type]
    tags = [value.decode() for name, value in sent[0]["headers"] if name == b"etag"]
    return tags[0], b"".join(bytes(message["body"]) for message in sent[1:])


def study_of(count: int, **attributes: Any) -> list[Any]:
    """Images of two series, one of them with a value in a sequence that is bulk data."""
    study, series = generate_uid(), [generate_uid(), generate_uid()]
    block = Dataset()
    block.add_new(0x00091001, "OB", b"\1\2" * 2000)
    return [
        image(
            StudyInstanceUID=study,
            SeriesInstanceUID=series[number % 2],
            SeriesNumber=number % 2 + 1,
            InstanceNumber=count - number,
            RequestAttributesSequence=[block] if number % 2 else None,
            **attributes,
        )
        for number in range(count)
    ]


def keep_study(door: DoorInMemory, count: int) -> ResourceKey:
    """The first of its images."""
    keys = [door.keep(each) for each in study_of(count)]
    return keys[0]


def levels(kept: ResourceKey) -> list[ResourceKey]:
    study, series = kept.study_instance_uid, kept.series_instance_uid
    return [ResourceKey(study), ResourceKey(study, series), kept]


def test_it_is_right_while_images_arrive_and_after(doors: tuple[DoorInMemory, DoorInMemory]) -> None:
    mine, theirs = doors
    images = study_of(9, SpecificCharacterSet="ISO_IR 192", PatientName="KIM^SU=金^秀")
    keys = []
    for number, each in enumerate(images, start=1):
        keys.append(theirs.keep(each))
        if number in (4, 8):
            assert settle(mine) in (1, 2)
        for key in levels(keys[-1]):
            assert told(mine, key) == made_now(mine, key)
    assert settle(mine) == 1
    for door in doors:
        for key in (*levels(keys[0]), *levels(keys[1])):
            assert told(door, key) == made_now(door, key)
    assert len(told(mine, ResourceKey(keys[0].study_instance_uid))) == 9


def test_what_is_settled_is_looked_up(
    doors: tuple[DoorInMemory, DoorInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = doors
    key = keep_study(theirs, 4)
    expected = made_now(mine, ResourceKey(key.study_instance_uid))
    settle(theirs)

    def text(*_: object) -> bytes:
        raise AssertionError("it is made anew")

    monkeypatch.setattr(InstanceTexts, "text", text)
    assert told(mine, ResourceKey(key.study_instance_uid)) == expected
    theirs.keep(image(StudyInstanceUID=key.study_instance_uid))
    for accept in ("application/dicom+json", 'multipart/related; type="application/dicom+xml"'):
        answer = mine.get(f"/studies/{key.study_instance_uid}/metadata", accept=accept)
        assert answer.status_code == 500, "control: there is more to make"


def test_no_value_is_taken_for_the_end_of_a_document(doors: tuple[DoorInMemory, DoorInMemory]) -> None:
    mine, theirs = doors
    text = f"\r\n--{BOUNDARY}--\r\n--{BOUNDARY}\r\nContent-Type: text/html\r\n\r\n<script>"
    hostile = image(PatientComments=text, PatientName=f"{BOUNDARY}^=={BOUNDARY}")
    hostile.add_new(0x00090010, "LO", BOUNDARY)
    hostile.add_new(0x00091001, "LT", text)
    key = theirs.keep(hostile)
    for settles in (False, True):
        answer = mine.get(f"{key.path}/metadata", accept='multipart/related; type="application/dicom+xml"')
        ((_, document),) = parts_of(answer)
        assert read_xml(document)["00104000"]["Value"] == [text]
        assert read_xml(document)["00090010"]["Value"] == [BOUNDARY]
        assert BOUNDARY.encode() not in document
        assert not settles or settle(mine) == 0
        settle(mine)


def newer(data_set: Any, number: int) -> Any:
    uids = {name: data_set[name].value for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    return image(**uids, ImageComments=f"version {number}", InstanceNumber=data_set.InstanceNumber)


def test_a_new_version_is_told_at_once_in_every_process(doors: tuple[DoorInMemory, DoorInMemory]) -> None:
    mine, theirs = doors
    images = study_of(3)
    keys = [theirs.keep(each) for each in images]
    for number in range(1, 4):
        settle(mine)
        for door in doors:
            told(door, levels(keys[0])[1])
        theirs.keep(newer(images[0], number))
        for key in levels(keys[0]):
            for door in doors:
                found = told(door, key)
                assert found == made_now(door, key)
                assert f"version {number}" in json.dumps(found)


def test_control_without_the_revision_the_old_version_would_be_told(
    doors: tuple[DoorInMemory, DoorInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = doors
    monkeypatch.setattr(metadata, "_revision", lambda _: "always")
    (first,) = study_of(1)
    key = theirs.keep(first)
    settle(theirs)
    told(mine, levels(key)[1])
    theirs.keep(newer(first, 1))
    assert "version 1" not in json.dumps(told(mine, levels(key)[1]))


def test_entity_tags_change_when_the_content_does_and_only_then(doors: tuple[DoorInMemory, DoorInMemory]) -> None:
    mine, theirs = doors
    images = study_of(4)
    for each in images[:3]:
        key = theirs.keep(each)

    def state() -> list[tuple[str, bytes]]:
        found = []
        for path in (each.path for each in levels(key)):
            for door in doors:
                for coding in ("gzip", "identity"):
                    found.append(raw(door, path, coding))
                    again = door.get(f"{path}/metadata", accept_encoding=coding, if_none_match=found[-1][0])
                    assert (again.status_code, again.content) == (304, b"")
        return found

    arrived = state()
    settle(mine)
    assert state() == arrived, "kept and made are the same bytes, so the strong tag is honest"
    theirs.keep(images[0])  # the same once more
    settle(mine)
    assert state() == arrived
    theirs.keep(images[3])
    assert {tag for tag, _ in state()[:4]}.isdisjoint(tag for tag, _ in arrived)
    assert state()[8:] == arrived[8:], "the instance is the same"


@pytest.mark.parametrize("damage", ["torn", "other bytes", "gone", "another form", "no head"])
def test_a_damaged_copy_is_made_anew(doors: tuple[DoorInMemory, DoorInMemory], tmp_path: Path, damage: str) -> None:
    mine, theirs = doors
    key = keep_study(theirs, 4)
    settle(theirs)
    derived = DerivedStore(tmp_path / "derived")
    name = metadata.metadata_name(key.study_instance_uid, str(key.series_instance_uid))
    kept = derived.get("default", name)
    assert kept is not None
    path = derived._path("default", name)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "other bytes":
        path.write_bytes(path.read_bytes()[:-10] + b"x" * 10)
    elif damage == "gone":
        path.unlink()
    else:
        derived.put("default", name, kept.replace(b'"form":"1"', b'"form":"9"') if damage == "another form" else b"x")
    assert told(mine, levels(key)[1]) == made_now(mine, levels(key)[1])
    assert derived.get("default", name) == kept, "kept again, the same bytes"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("gzip;q=0, *", None),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0.5, gzip;q=1.0", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("br", None),
        ("gzip;q=many", None),
        ("", None),
    ],
)
def test_codings(doors: tuple[DoorInMemory, DoorInMemory], accepted: str | None, coding: str | None) -> None:
    door, _ = doors
    key = door.keep(image())
    fields = {} if accepted is None else {"accept_encoding": accepted}
    for level in levels(key):
        answer = door.get(f"{level.path}/metadata", **fields)
        assert answer.headers.get("content-encoding") == coding
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
        assert "private" in answer.headers["cache-control"]
        assert answer.json() == made_now(door, level)


@pytest.mark.parametrize(
    ("accepted", "got"),
    [
        ("*/*", "application/dicom+json"),
        ("application/json", "application/json"),
        ("application/dicom+json, application/dicom+xml;q=0.1", "application/dicom+json"),
        ('multipart/related; type="application/dicom+xml"', "multipart/related"),
        ("image/jpeg", None),
    ],
)
def test_representations(doors: tuple[DoorInMemory, DoorInMemory], accepted: str, got: str | None) -> None:
    door, _ = doors
    key = keep_study(door, 3)
    for settles in (False, True):
        for level in levels(key):
            answer = door.get(f"{level.path}/metadata", accept=accepted)
            assert answer.status_code == (200 if got else 406)
            assert not got or answer.headers["content-type"].startswith(got)
        if not settles:
            settle(door)


@pytest.mark.parametrize("host", ["a", "archive.example:8443", "x" * 60, "x" * 250])
def test_any_address(doors: tuple[DoorInMemory, DoorInMemory], host: str) -> None:
    door, _ = doors
    key = keep_study(door, 3)
    settle(door)
    for level in levels(key):
        for coding in ("gzip", "identity"):
            answer = door.get(f"{level.path}/metadata", accept_encoding=coding, host=host)
            expected = json.dumps(made_now(door, level)).replace("http://archive.test", f"http://{host}")
            assert answer.json() == json.loads(expected)
            answer = door.get(
                f"{level.path}/metadata",
                accept='multipart/related; type="application/dicom+xml"',
                accept_encoding=coding,
                host=host,
            )
            assert [read_xml(document) for _, document in parts_of(answer)] == [
                read_xml(to_xml(each)) for each in json.loads(expected)
            ]


def test_a_study_is_one_gzip_member(doors: tuple[DoorInMemory, DoorInMemory]) -> None:
    door, _ = doors
    key = keep_study(door, 5)
    settle(door)
    _, body = raw(door, levels(key)[0].path, "gzip")
    reader = zlib.decompressobj(31)
    assert json.loads(reader.decompress(body)) == made_now(door, levels(key)[0])
    assert reader.eof
    assert not reader.unused_data, "browsers do not read a second one"


def test_an_unreadable_image_is_settled_without(doors: tuple[DoorInMemory, DoorInMemory]) -> None:
    mine, theirs = doors
    key = keep_study(theirs, 2)
    for segment in Path(theirs.retrieve._store.root).rglob("*"):
        if segment.is_file():
            segment.unlink()
    with ExitStack() as stack:
        fresh = DoorInMemory(*stack.enter_context(archive_under(Path(mine.retrieve._store.root).parent, BOTH)))
        assert settle(fresh) == 2, "its segment is gone; that does not keep others waiting"
        assert fresh.get(f"{levels(key)[1].path}/metadata").status_code == 500


@pytest.mark.corpus
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_images(tmp_path: Path, corpus: Path) -> None:
    with archive_under(tmp_path) as services:
        door = DoorInMemory(*services)
        with (corpus / "INDEX.tsv").open(newline="") as table:
            places = [corpus / row["path"] for row in csv.DictReader(table, delimiter="\t")]
        files = [
            file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.dcm"))[:3])
        ]
        studies = set()
        for file in files:
            if file.stat().st_size > 1 << 20:
                continue
            try:
                stored = door.ingest.store_file(Source(VIEWER, "import"), file.read_bytes())
            except (Conflict, PeerFault):
                continue
            studies.add(stored.key.study_instance_uid)
        assert len(studies) > 60
        expected = {study: made_now(door, ResourceKey(study)) for study in sorted(studies)}
        for study, attributes in expected.items():
            assert told(door, ResourceKey(study)) == attributes
        assert settle(door) > 60
    with archive_under(tmp_path) as services:
        door = DoorInMemory(*services)
        while settle(door):
            pass
        for study, attributes in expected.items():
            assert told(door, ResourceKey(study)) == attributes
