"""kill -9 between the success of N-ACTION and the report: no request is forgotten, whoever is killed."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import queue
import signal
import sqlite3
from pathlib import Path

import pytest

from benchmarks.free_port import free_port
from pacs.index.commitments import State
from tests.integration.committing_scu import AET, Modality, ask, store
from tests.running_archive import RunningArchive
from tests.waiting import wait_until

ROUNDS = int(os.environ.get("PACS_KILL_ROUNDS", "20" if os.environ.get("PACS_SOAK") else "2"))


def _archive(folder: Path, port: int) -> RunningArchive:
    destinations = json.dumps([{"aet": AET, "host": "127.0.0.1", "port": port}])
    settings = {
        "PACS_DICOM__DESTINATIONS": destinations,
        "PACS_HTTP__WORKERS": "1",  # nothing here is asked of it
        "PACS_COMMITMENT__FIRST_PAUSE_S": "0.5",
        "PACS_COMMITMENT__LONGEST_PAUSE_S": "2",
    }
    return RunningArchive(folder / "data", **settings).start()


def _kill(archive: RunningArchive, victim: str) -> None:
    if victim == "serve":
        archive.kill()
        archive.start()
    else:
        started = _started(archive, victim)
        os.kill(archive.pid_of(victim), signal.SIGKILL)
        wait_until(lambda: _started(archive, victim) > started, 60)


def _started(archive: RunningArchive, role: str) -> int:
    return len([event for event in archive.events("process started") if event["role"] == role])


def _missing(modality: Modality, asked: set[str], limit_s: float) -> set[str]:
    """Transactions that nobody told of."""
    missing = set(asked)
    while missing:
        try:
            told = modality.told.get(timeout=limit_s)
        except queue.Empty:
            break
        assert (told.event_type, told.failed) == (1, {})
        missing.discard(told.transaction_uid)
    return missing


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # pynetdicom, told while releasing
@pytest.mark.parametrize("victim", ["serve", "dimse", "background"])
def test_every_request_that_was_taken_is_reported(tmp_path: Path, victim: str) -> None:
    port = free_port()
    archive = _archive(tmp_path, port)
    modality = Modality()
    asked: set[str] = set()
    try:
        for _ in range(ROUNDS):
            with modality.associated(archive.dicom_port) as association:
                stored = store(association, 3)
                for _ in range(5):
                    status, transaction_uid = ask(association, stored)
                    assert status == 0
                    asked.add(transaction_uid)
                # Some may be told on this association before the kill; most are not even looked at.
                _kill(archive, victim)
            archive.wait_until_ready()
            _wait_for_new_dimse(archive, modality)
        # And once while the results are known and nobody is there to be told.
        wait_until(lambda: _known(archive) >= asked, 120)
        _kill(archive, victim)
        with modality.listening(port):
            assert _missing(modality, asked, 60) == set()
        gc.collect()  # what pynetdicom dropped is found here, and not in somebody else's test
    finally:
        if archive.process is not None:
            archive.stop()


def _known(archive: RunningArchive) -> set[str]:
    """Transactions whose result is in the index; who is killed between that and its line in the log writes none."""
    name = f"file:{archive.data / 'index.sqlite'}?mode=ro"
    with contextlib.closing(sqlite3.connect(name, uri=True)) as connection:
        open_ones = connection.execute("SELECT transaction_uid, state FROM commitments").fetchall()
    return {uid for uid, state in open_ones if state != State.REQUESTED}


def _wait_for_new_dimse(archive: RunningArchive, modality: Modality) -> None:
    def answers() -> bool:
        try:
            with modality.associated(archive.dicom_port):
                return True
        except AssertionError:
            return False

    wait_until(answers, 60)


@pytest.mark.timeout(600)
def test_the_check_sees_a_loss(tmp_path: Path) -> None:
    """The control: a transaction that the archive never heard of is missed."""
    port = free_port()
    archive = _archive(tmp_path, port)
    modality = Modality()
    try:
        with modality.listening(port):
            with modality.associated(archive.dicom_port) as association:
                _, transaction_uid = ask(association, store(association, 1))
            wait_until(lambda: not modality.told.empty())
            assert _missing(modality, {transaction_uid, "1.2.3"}, 1) == {"1.2.3"}
    finally:
        archive.stop()
