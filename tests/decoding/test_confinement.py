"""What code in a decoder can reach, when a codec was taken over by the pixels it decodes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacs.decoding.workers import Workers
from pacs.settings import DecodingSettings
from tests.decoding import faults

_HARMS_UNCONFINED = """
import os, sys
from tests.decoding import faults
found = faults.harms(sys.argv[1], os.getpid())
"""


def test_a_decoder_reaches_nothing_but_its_connection(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    workers = Workers(DecodingSettings(workers=1), modules=[faults.__name__])
    try:
        connections = workers.run(faults.open_files)
        found = workers.run(faults.harms, str(folder), os.getpid())
    finally:
        workers.close()
    assert "done" not in found.values(), found
    assert len(found) == 9
    assert connections == [0, 1, 2, 3]
    assert folder.is_dir()


def test_control_what_is_not_confined_reaches_them(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", _HARMS_UNCONFINED, str(folder)], timeout=200)
    assert done.returncode == 0, "it became /bin/true, so all the others were tried"
    assert not folder.exists()


def test_a_decoder_knows_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_INDEX__URL", "postgresql+psycopg://pacs:secret@host/db")
    workers = Workers(DecodingSettings(workers=1), modules=[faults.__name__])
    try:
        assert "secret" not in workers.run(faults.environment)
    finally:
        workers.close()
