"""SOP class extended negotiation of C-FIND with pynetdicom as the peer, on a real association and a real archive."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import PatientRootQueryRetrieveInformationModelFind as PatientRootFind

from pacs.app import dimse_server, open_archive
from pacs.model import Principal, Source
from pacs.settings import Settings

ROOT = "1.2.826.0.1.3680043.9.9998"


def _file(number: int) -> bytes:
    image = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    image.PatientID, image.PatientName = f"P{number}", f"Yamada^Tarou{'' if number == 1 else number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{ROOT}.{number}", f"{ROOT}.{number}.1"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.{number}.1.1"
    image.StudyDate, image.StudyTime = "20240101", "200000"
    image.TimezoneOffsetFromUTC = "+0000"
    image.AccessionNumber = "" if number == 2 else "ACC"
    file = BytesIO()
    image.save_as(file)
    return file.getvalue()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of an archive with two studies."""
    listening = socket.create_server(("127.0.0.1", 0))
    archive = open_archive(Settings(data=tmp_path_factory.mktemp("archive")))
    for number in (1, 2):
        archive.ingest.store_file(Source(Principal("test"), "import"), _file(number))
    server = dimse_server(archive, listening)
    server.start()
    yield listening.getsockname()[1]
    server.stop(5)
    archive.close()


def ask(port: int, extensions: bytes, level: str, **keys: str) -> tuple[bytes | None, list[int], list[Dataset]]:
    """What was agreed, the statuses and the identifiers."""
    entity = AE("WORKSTATION")
    entity.add_requested_context(PatientRootFind)
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = PatientRootFind, extensions
    association = entity.associate("127.0.0.1", port, ae_title="PACS", ext_neg=[item] if extensions else [])
    assert association.is_established
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    try:
        answers = list(association.send_c_find(query, PatientRootFind))
        agreed = association.acceptor.sop_class_extended.get(PatientRootFind)
    finally:
        association.release()
    return agreed, [status.Status for status, _ in answers], [found for _, found in answers if found is not None]


def test_relational(port: int) -> None:
    agreed, statuses, found = ask(port, b"\1", "IMAGE", PatientName="yamada*", SOPInstanceUID="", StudyInstanceUID="")
    assert (agreed, statuses) == (b"\1", [0xFF00, 0xFF00, 0x0000])
    assert {answer.SOPInstanceUID for answer in found} == {f"{ROOT}.1.1.1", f"{ROOT}.2.1.1"}


def test_hierarchical_without(port: int) -> None:
    agreed, statuses, _ = ask(port, b"", "IMAGE", PatientName="yamada*", SOPInstanceUID="")
    assert (agreed, statuses) == (None, [0xA900])
    assert ask(port, b"\0", "SERIES", PatientName="yamada*")[1] == [0xA900]


def test_fuzzy_names(port: int) -> None:
    _, statuses, found = ask(port, b"\0\0\1", "STUDY", PatientName="Taro Ymaada", StudyInstanceUID="")
    assert statuses == [0xFF00, 0xFF00, 0x0000]
    assert ask(port, b"\0\0\0", "STUDY", PatientName="Taro Ymaada", StudyInstanceUID="")[1] == [0x0000]
    assert {answer.StudyInstanceUID for answer in found} == {f"{ROOT}.1", f"{ROOT}.2"}


def test_combined_dates_and_times_in_a_time_zone(port: int) -> None:
    keys = {"StudyDate": "20240102-20240103", "StudyTime": "0400-0100", "TimezoneOffsetFromUTC": "+0900"}
    agreed, statuses, found = ask(port, b"\0\1\0\1", "STUDY", PatientID="P1", **keys)
    assert (agreed, statuses) == (b"\0\1\0\1", [0xFF00, 0x0000])
    assert (found[0].StudyDate, found[0].StudyTime, found[0].TimezoneOffsetFromUTC) == ("20240101", "200000", "+0000")
    assert ask(port, b"\0\0\0\1", "STUDY", PatientID="P1", **keys)[1] == [0x0000]


def test_empty_values(port: int) -> None:
    _, statuses, found = ask(port, b"\0\0\0\0\0\1", "STUDY", AccessionNumber='""', StudyInstanceUID="")
    assert statuses == [0xFF00, 0x0000]
    assert found[0].StudyInstanceUID == f"{ROOT}.2"
    assert ask(port, b"", "STUDY", AccessionNumber='""')[1] == [0x0000]
