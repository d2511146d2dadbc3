"""Storage commitment as a modality sees it, against a whole archive (PS3.4 Annex J)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import MRImageStorage, generate_uid

from benchmarks.free_port import free_port
from tests.integration.committing_scu import AET, Modality, ask, store
from tests.running_archive import RunningArchive
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def port() -> int:
    """Where the archive believes the modality to listen."""
    return free_port()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[RunningArchive]:
    destinations = json.dumps([{"aet": AET, "host": "127.0.0.1", "port": port}])
    settings = {
        "PACS_DICOM__DESTINATIONS": destinations,
        "PACS_COMMITMENT__FIRST_PAUSE_S": "0.5",
        "PACS_HTTP__WORKERS": "1",
    }
    with RunningArchive(tmp_path_factory.mktemp("commitment") / "data", **settings) as running:
        yield running


def test_the_result_comes_on_the_association_that_stays_open(archive: RunningArchive) -> None:
    modality = Modality()
    with modality.associated(archive.dicom_port) as association:
        stored = store(association, 3)
        status, transaction_uid = ask(association, stored)
        assert status == 0
        told = modality.wait()
        assert told.was_asked_for_here
        # The association is none the worse for it.
        assert store(association, 1)
    assert (told.event_type, told.transaction_uid) == (1, transaction_uid)
    assert (told.committed, told.failed) == ({uid for _, uid in stored}, {})


def test_the_result_comes_on_a_new_association(archive: RunningArchive, port: int) -> None:
    modality = Modality()
    with modality.listening(port):
        with modality.associated(archive.dicom_port) as association:
            stored = store(association, 2)
            status, transaction_uid = ask(association, stored)
        assert status == 0
        told = modality.wait()
    assert not told.was_asked_for_here
    assert (told.event_type, told.transaction_uid) == (1, transaction_uid)
    assert told.committed == {uid for _, uid in stored}


def test_what_is_not_there_fails_with_its_reason(archive: RunningArchive) -> None:
    modality = Modality()
    with modality.associated(archive.dicom_port) as association:
        [(ct, first), (_, second)] = store(association, 2)
        unknown = str(generate_uid())
        _, _ = ask(association, [(ct, first), (MRImageStorage, second), (ct, unknown)])
        told = modality.wait()
    assert told.event_type == 2
    assert told.committed == {first}
    assert told.failed == {second: 0x0119, unknown: 0x0112}


def test_a_flipped_byte_is_found(archive: RunningArchive) -> None:
    modality = Modality()
    with modality.associated(archive.dicom_port) as association:
        sound, damaged = store(association, 2)
        _flip_last_pixel(archive.data, damaged[1])
        ask(association, [sound, damaged])
        told = modality.wait()
    assert told.event_type == 2
    assert (told.committed, told.failed) == ({sound[1]}, {damaged[1]: 0x0110})
    [event] = [one for one in archive.events("stored instance is damaged") if one["sop_instance_uid"] == damaged[1]]
    assert event["level"] == "error"


def _flip_last_pixel(data: Path, sop_instance_uid: str) -> None:
    """In the file on disk, behind the archive's back."""
    for segment in (data / "objects").rglob("*.tar"):
        content = segment.read_bytes()
        where = content.rfind(sop_instance_uid.encode())
        if where >= 0:
            with segment.open("r+b") as file:
                file.seek(where + 20_000)
                file.write(bytes([content[where + 20_000] ^ 1]))
            return
    raise AssertionError("no segment holds the instance")


def test_a_modality_that_was_away_is_told_when_it_is_back(archive: RunningArchive, port: int) -> None:
    modality = Modality()
    with modality.associated(archive.dicom_port) as association:
        stored = store(association, 1)
        _, transaction_uid = ask(association, stored)

    def tries() -> list[object]:
        events = archive.events("storage commitment not reported")
        return [event for event in events if event["transaction_uid"] == transaction_uid]

    wait_until(lambda: len(tries()) >= 2)
    with modality.listening(port):
        told = modality.wait()
    assert told.transaction_uid == transaction_uid


def test_a_modality_that_refuses_the_role_is_not_told(archive: RunningArchive, port: int) -> None:
    modality = Modality()
    with modality.listening(port, takes_role=False):
        with modality.associated(archive.dicom_port) as association:
            _, transaction_uid = ask(association, store(association, 1))
        wait_until(
            lambda: any(
                event["transaction_uid"] == transaction_uid and "provider" in event["why"]
                for event in archive.events("storage commitment not reported")
            )
        )
        assert modality.told.empty()
    with modality.listening(port):
        assert modality.wait().transaction_uid == transaction_uid


def test_an_answer_of_failure_is_no_answer(archive: RunningArchive, port: int) -> None:
    modality = Modality()
    modality.status = 0x0110
    with modality.listening(port):
        with modality.associated(archive.dicom_port) as association:
            _, transaction_uid = ask(association, store(association, 1))
        assert modality.wait().transaction_uid == transaction_uid
        modality.status = 0
        assert modality.wait().transaction_uid == transaction_uid


def test_the_same_request_again_is_answered_again(archive: RunningArchive) -> None:
    modality = Modality()
    with modality.associated(archive.dicom_port) as association:
        stored = store(association, 2)
        _, transaction_uid = ask(association, stored)
        modality.wait()
        status, _ = ask(association, stored, transaction_uid)
        assert status == 0
        assert modality.wait().transaction_uid == transaction_uid


def test_a_transaction_uid_in_use_is_refused(archive: RunningArchive) -> None:
    modality = Modality()
    with modality.associated(archive.dicom_port) as association:
        first, second = store(association, 2)
        _, transaction_uid = ask(association, [first])
        status, _ = ask(association, [second], transaction_uid)
        assert status == 0x0131
        assert modality.wait().committed == {first[1]}


@pytest.mark.parametrize("count", [0, 20_001, 1_000_000])
def test_too_many_references_are_refused_and_the_association_goes_on(archive: RunningArchive, count: int) -> None:
    modality = Modality()
    item = ("1.2.840.10008.5.1.4.1.1.2", "1.2.3")
    with modality.associated(archive.dicom_port) as association:
        association.dimse_timeout = 120
        if count < 1_000_000:
            status, _ = ask(association, [item] * count)
        else:
            status = _million(association, count)
        assert status == (0x0213 if count else 0x0115)
        assert store(association, 1)
    assert modality.told.empty()


def _million(association: object, count: int) -> int:
    """As `ask`, with bytes made here: a pydicom data set of a million items takes minutes."""
    import struct
    from io import BytesIO

    from pynetdicom.dimse_primitives import N_ACTION
    from pynetdicom.sop_class import StorageCommitmentPushModel

    def element(tag: int, vr: bytes, value: bytes) -> bytes:
        head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
        return head + (struct.pack("<HL", 0, len(value)) if vr == b"SQ" else struct.pack("<H", len(value))) + value

    reference = element(0x00081150, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0") + element(0x00081155, b"UI", b"1.2.3\0")
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(reference)) + reference
    data_set = element(0x00081195, b"UI", b"1.2.3.4\0") + element(0x00081199, b"SQ", item * count)
    request = N_ACTION()
    request.MessageID, request.ActionTypeID = 7, 1
    request.RequestedSOPClassUID, request.RequestedSOPInstanceUID = StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1"
    request.ActionInformation = BytesIO(data_set)
    association._reactor_checkpoint.clear()  # type: ignore[attr-defined]
    wait_until(lambda: association._is_paused)  # type: ignore[attr-defined]
    try:
        context_id = association.accepted_contexts[0].context_id  # type: ignore[attr-defined]
        association.dimse.send_msg(request, context_id)  # type: ignore[attr-defined]
        _, response = association.dimse.get_msg(block=True)  # type: ignore[attr-defined]
    finally:
        association._reactor_checkpoint.set()  # type: ignore[attr-defined]
    return int(response.Status)
