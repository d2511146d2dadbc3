from __future__ import annotations

import hashlib
import io
import logging
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from pacs.errors import CoercionImpossible, Conflict, IndexUnavailable, StorageError
from pacs.model import Level, Outcome, Principal, Query, Source, Stored, Superseded

from .small_archive import EXPLICIT, Place, encoded

IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
NAME, INSTITUTION, OPERATOR, MODALITY = 0x00100010, 0x00080080, 0x00081070, 0x00080060
RULE = {
    "aet": "CT_1",
    "set": {"InstitutionName": "Klinik am See"},
    "default": {"00080060": "OT", "StationName": "CT1"},
    "remove": ["OperatorsName"],
}
COERCING: dict[str, Any] = {"coercion": (RULE,), "memory_bytes_per_instance": 1 << 16}
UID = "1.2.3.1"
SIZES = pytest.mark.parametrize("pixel_bytes", [512, 1 << 18], ids=["in memory", "large"])


def sent(pixel_bytes: int = 512, **changes: Any) -> bytes:
    return encoded(1, pixel_bytes=pixel_bytes, **{"OperatorsName": "Doe^Jane", **changes})


def send(place: Place, content: bytes, syntax: str = EXPLICIT, *, aet: str = "CT_1", peer: str = "127.0.0.1") -> Stored:
    with place.ingest.begin(Source(Principal(aet), "C-STORE", peer), syntax) as reception:
        reception.write(content)
        return reception.commit()


def content_at(place: Place, location: Any) -> bytes:
    return bytes(place.store.view(location)[location.data_set_offset :])


def served(place: Place) -> pydicom.FileDataset:
    row = place.index.instance("default", "1.2.1", "1.2.2", UID)
    assert row is not None
    assert hashlib.sha256(content_at(place, row.location)).hexdigest() == row.digest
    return pydicom.dcmread(io.BytesIO(bytes(place.store.view(row.location))))


def originals(place: Place) -> list[bytes]:
    return [
        content_at(place, each.location)
        for each in place.index.versions("default", UID)
        if each.reason is Superseded.COERCED
    ]


def in_syntax(content: bytes, syntax: str) -> bytes:
    if syntax == DEFLATED:
        compressor = zlib.compressobj(wbits=-15)
        deflated = compressor.compress(content) + compressor.flush()
        return deflated + b"\0" * (len(deflated) % 2)
    data_set = pydicom.filereader.read_dataset(io.BytesIO(content), False, True, bytelength=len(content))
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = syntax == IMPLICIT, syntax != BIG
    write_dataset(file, Dataset(data_set))
    return file.getvalue()


@SIZES
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_the_coerced_instance_is_served_and_the_original_stays_as_it_came(
    open_archive: Callable[..., Place], syntax: str, pixel_bytes: int
) -> None:
    place = open_archive(**COERCING)
    content = sent(pixel_bytes) if syntax == EXPLICIT else in_syntax(sent(pixel_bytes), syntax)
    stored = send(place, content, syntax)
    assert stored.outcome is Outcome.STORED
    assert stored.coerced == (INSTITUTION, 0x00081010, OPERATOR)
    made = served(place)
    assert (made.InstitutionName, made.StationName, made.Modality) == ("Klinik am See", "CT1", "CT")
    assert "OperatorsName" not in made
    assert made.PixelData == bytes([1]) * pixel_bytes
    (record,) = made.OriginalAttributesSequence
    assert (record.ModifyingSystem, record.SourceOfPreviousValues) == ("PACS", "CT_1")
    assert record.ModifiedAttributesSequence[0].OperatorsName == "Doe^Jane"
    assert originals(place) == [content]
    assert place.index.holdings().instances == 1
    (found,) = place.index.search("default", Query(Level.SERIES))
    assert found["00081010"]["Value"] == ["CT1"]


@SIZES
def test_the_original_and_the_coerced_bytes_again_are_success_without_a_copy(
    open_archive: Callable[..., Place], tmp_path: Path, pixel_bytes: int
) -> None:
    place = open_archive(**COERCING)
    send(place, sent(pixel_bytes))
    row = place.index.instance("default", "1.2.1", "1.2.2", UID)
    assert row is not None
    size = sum(path.stat().st_size for path in tmp_path.glob("objects/*/*.tar"))
    for content in (sent(pixel_bytes), content_at(place, row.location)):
        again = send(place, content)
        assert (again.outcome, again.coerced) == (Outcome.ALREADY_THERE, ())
    assert sum(path.stat().st_size for path in tmp_path.glob("objects/*/*.tar")) == size
    with pytest.raises(Conflict):
        send(place, sent(pixel_bytes, PatientName="Other"))


def test_where_nothing_differs_nothing_is_changed(open_archive: Callable[..., Place]) -> None:
    place = open_archive(**COERCING)
    content = encoded(1, InstitutionName="Klinik am See", StationName="X")
    assert send(place, content).coerced == ()
    assert place.index.versions("default", UID) == []


@pytest.mark.parametrize(
    ("rule", "aet", "peer", "is_meant"),
    [
        ({"aet": "CT_1"}, "CT_1", "10.0.0.1", True),
        ({"aet": "CT_1"}, "CT_2", "10.0.0.1", False),
        ({"host": "10.0.0.1"}, "CT_2", "10.0.0.1", True),
        ({"host": "10.0.0.1"}, "CT_2", "::ffff:10.0.0.1", True),
        ({"host": "10.0.0.1"}, "CT_2", "10.0.0.2", False),
        ({"aet": "CT_1", "host": "10.0.0.1"}, "CT_1", "10.0.0.2", False),
    ],
)
def test_only_the_sender_named_is_concerned(
    open_archive: Callable[..., Place], rule: dict[str, str], aet: str, peer: str, is_meant: bool
) -> None:
    place = open_archive(coercion=({**rule, "set": {"InstitutionName": "X"}},))
    assert bool(send(place, sent(), aet=aet, peer=peer).coerced) is is_meant


def test_a_path_or_name_of_another_route_is_no_ae_title_and_no_address(open_archive: Callable[..., Place]) -> None:
    place = open_archive(coercion=({"aet": "CT_1", "set": {"InstitutionName": "X"}},))
    for source in (Source(Principal("CT_1"), "import", "/x"), Source(Principal("CT_1"), "STOW-RS", "10.0.0.1")):
        with place.ingest.begin(source, EXPLICIT) as reception:
            reception.write(sent())
            assert reception.commit().coerced == ()


def test_text_is_in_the_character_set_of_the_data_set_or_refused(open_archive: Callable[..., Place]) -> None:
    place = open_archive(coercion=({"aet": "CT_1", "set": {"InstitutionName": "Krankenhaus Süd"}},))
    with pytest.raises(CoercionImpossible, match=r"\(0008,0080\).*character set"):
        send(place, sent())
    assert place.index.instance("default", "1.2.1", "1.2.2", UID) is None
    send(place, sent(SpecificCharacterSet="ISO_IR 100"))
    made = served(place)
    assert made.InstitutionName == "Krankenhaus Süd"
    assert made.SpecificCharacterSet == "ISO_IR 100"


def test_coercion_is_told_with_tags_and_digests_and_without_values(
    open_archive: Callable[..., Place], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pacs")
    place = open_archive(**COERCING)
    send(place, sent())
    (record,) = [record for record in caplog.records if record.getMessage() == "instance coerced"]
    fields = record.fields  # type: ignore[attr-defined]
    row = place.index.instance("default", "1.2.1", "1.2.2", UID)
    assert row is not None
    assert fields["attributes"] == ["(0008,0080)", "(0008,1010)", "(0008,1070)"]
    assert (fields["original_digest"], fields["digest"]) == (hashlib.sha256(sent()).hexdigest(), row.digest)
    assert (fields["principal"], fields["sop_instance_uid"]) == ("CT_1", UID)
    written = "".join(str(vars(record)) for record in caplog.records)
    assert "Klinik" not in written
    assert "Doe" not in written


@SIZES
def test_other_bytes_of_a_coerced_instance_become_a_coerced_version(
    open_archive: Callable[..., Place], tmp_path: Path, pixel_bytes: int
) -> None:
    place = open_archive(**COERCING, duplicates="keep-both")
    contents = [sent(pixel_bytes, PatientName=name) for name in "AB"]
    outcomes = [send(place, content).outcome for content in contents]
    assert outcomes == [Outcome.STORED, Outcome.NEW_VERSION]
    assert served(place).PatientName == "B"
    assert originals(place) == contents
    before = place.index.versions("default", UID), place.index.holdings().stored_bytes
    assert [each.reason for each in before[0]] == [Superseded.COERCED, Superseded.REPLACED, Superseded.COERCED]
    digest = served(place).SOPInstanceUID
    place.close()
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    again = open_archive()
    assert again.ingest.recover() == 4
    after = again.index.versions("default", UID), again.index.holdings().stored_bytes
    assert [(each.digest, each.reason, each.location) for each in after[0]] == [
        (each.digest, each.reason, each.location) for each in before[0]
    ]
    assert after[1] == before[1]
    assert (served(again).PatientName, served(again).SOPInstanceUID) == ("B", digest)


@SIZES
@pytest.mark.parametrize("survivors", [0, 1])
def test_a_crash_between_original_and_coerced_shows_neither_and_the_sender_sends_again(
    open_archive: Callable[..., Place], pixel_bytes: int, survivors: int
) -> None:
    """`survivors` transactions are done when the process dies: none, or that of the original."""
    first = open_archive(**COERCING)
    add, left = first.index.add, [None] * survivors

    def die(batch: Any) -> Any:
        if left:
            left.pop()
            return add(batch)
        raise IndexUnavailable("the process died here")

    first.index.add = die  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        send(first, sent(pixel_bytes))
    first.close()
    again = open_archive(**COERCING)
    assert again.ingest.recover() == 1
    if survivors:  # both records were durable, so the instance is whole
        assert served(again).InstitutionName == "Klinik am See"
        assert send(again, sent(pixel_bytes)).outcome is Outcome.ALREADY_THERE
    else:
        assert again.index.instance("default", "1.2.1", "1.2.2", UID) is None
        assert again.index.versions("default", UID) == []
        stored = send(again, sent(pixel_bytes))
        assert (stored.outcome, bool(stored.coerced)) == (Outcome.STORED, True)
    assert originals(again) == [sent(pixel_bytes)]
    assert again.index.holdings().instances == 1


@SIZES
def test_an_attempt_that_failed_half_way_leaves_one_original_however_often(
    open_archive: Callable[..., Place], tmp_path: Path, pixel_bytes: int
) -> None:
    place = open_archive(**COERCING)
    add, calls = place.index.add, []

    def fail_for_coerced(batch: Any) -> Any:
        calls.append(batch[0].succession.is_original)
        if not calls[-1]:
            raise IndexUnavailable("no row for the coerced one")
        return add(batch)

    place.index.add = fail_for_coerced  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(StorageError):
            send(place, sent(pixel_bytes))
    assert calls.count(True) == 1
    place.index.add = add  # type: ignore[method-assign]
    assert send(place, sent(pixel_bytes)).outcome is Outcome.STORED
    assert originals(place) == [sent(pixel_bytes)]
    assert sum(path.read_bytes().count(b"Doe^Jane") for path in tmp_path.glob("objects/*/*.tar")) <= 1 + 4


def test_memory_of_a_large_instance_is_bounded(open_archive: Callable[..., Place]) -> None:
    place = open_archive(**COERCING)
    content = sent(32 << 20, Columns=16)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        send(place, content)
        assert tracemalloc.get_traced_memory()[1] - before < 8 << 20
    finally:
        tracemalloc.stop()
    assert served(place).InstitutionName == "Klinik am See"
