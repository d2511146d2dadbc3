"""kill -9 in the middle of a send: whatever was acknowledged is there after the next start, byte for byte."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
from pathlib import Path

import httpx
import pytest
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE

from tests.crash.conftest import Tell
from tests.crash.senders import wait_until_each_has
from tests.patience import PATIENCE_S
from tests.raw_store import store_bytes
from tests.running_archive import RunningArchive
from tests.waiting import wait_until

ROUNDS = int(os.environ.get("PACS_KILL_ROUNDS", "60" if os.environ.get("PACS_SOAK") else "4"))


class Sender(threading.Thread):
    """Stores new instances one after the other until the archive goes away; remembers what was acknowledged."""

    def __init__(self, port: int, aet: str) -> None:
        super().__init__()
        self._port, self._aet = port, aet
        self._template = dcmread(str(get_testdata_file("CT_small.dcm")))
        self._template.StudyInstanceUID = generate_uid()
        self._template.SeriesInstanceUID = generate_uid()
        self.study, self.series = str(self._template.StudyInstanceUID), str(self._template.SeriesInstanceUID)
        self.acknowledged: dict[str, bytes] = {}
        self.sent = 0

    def _next(self) -> tuple[str, bytes]:
        self._template.SOPInstanceUID = generate_uid()
        self._template.InstanceNumber = str(self.sent)
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, self._template)
        return str(self._template.SOPInstanceUID), buffer.getvalue()

    def run(self) -> None:
        ae = AE("KILLTEST")
        ae.dimse_timeout = ae.network_timeout = PATIENCE_S  # a killed archive is seen at once, by the connection
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = ae.associate("127.0.0.1", self._port, ae_title=self._aet)
        while association.is_established:
            uid, data_set = self._next()
            self.sent += 1
            context_id = association.accepted_contexts[0].context_id
            response = store_bytes(association, CTImageStorage, uid, data_set, context_id=context_id)
            if response is None:
                break
            if response.Status == 0:
                self.acknowledged[uid] = data_set
        association.abort()
        if association.dul.socket is not None:
            association.dul.socket.close()  # pynetdicom leaves it open when the peer vanishes


def _verify(archive: RunningArchive, senders: list[Sender]) -> list[str]:
    lost = []
    with httpx.Client(headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=30) as client:
        for sender in senders:
            base = f"{archive.dicomweb}/studies/{sender.study}/series/{sender.series}/instances"
            for uid, data_set in sender.acknowledged.items():
                answer = client.get(f"{base}/{uid}")
                if answer.status_code != 200 or not answer.content.endswith(data_set):
                    lost.append(f"{uid}: {answer.status_code}")
            found = client.get(base, headers={"Accept": "application/dicom+json"}).json()
            seen = {one["00080018"]["Value"][0] for one in found}
            lost += [f"{uid}: not found by QIDO" for uid in sender.acknowledged if uid not in seen]
    return lost


@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("victim", ["serve", "dimse"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, tell: Tell, victim: str) -> None:
    archive = RunningArchive(tmp_path / "data", PACS_HTTP__WORKERS="1").start()  # it only looks
    everything: list[Sender] = []
    try:
        for number in range(ROUNDS):
            senders = [Sender(archive.dicom_port, archive.aet) for _ in range(3)]
            for sender in senders:
                sender.start()
            moment = random.Random(number).uniform(0.2, 1.0)
            wait_until_each_has(4, senders)
            threading.Event().wait(moment)
            if victim == "serve":
                archive.kill()
            else:
                os.kill(archive.pid_of("dimse"), signal.SIGKILL)
            for sender in senders:
                sender.join(60)
            everything += senders
            if victim == "serve":
                archive.start()
            else:
                _wait_for_new_dimse(archive, number + 2)
        acknowledged = sum(len(sender.acknowledged) for sender in everything)
        lost = _verify(archive, everything)
        tell(f"kill -9 of {victim} while it stores", ROUNDS, acknowledged, len(lost), "in lost")
        assert acknowledged > 10 * ROUNDS
        assert lost == []
        gc.collect()  # what pynetdicom dropped is found here, and not in somebody else's test
    finally:
        if archive.process is not None:
            archive.stop()


def _wait_for_new_dimse(archive: RunningArchive, started: int) -> None:
    def times() -> int:
        return sum(event["role"] == "dimse" for event in archive.events("process started"))

    wait_until(lambda: times() >= started, 60, why="the dimse process was not started again")
    archive.wait_until_ready()


def test_the_check_sees_a_loss(tmp_path: Path) -> None:
    """The control: an acknowledged instance whose bytes were never sent must be reported."""
    with RunningArchive(tmp_path / "data", PACS_HTTP__WORKERS="1") as archive:
        sender = Sender(archive.dicom_port, archive.aet)
        uid, data_set = sender._next()
        sender.acknowledged[uid] = data_set
        assert len(_verify(archive, [sender])) == 2
