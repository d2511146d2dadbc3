from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until

_PROGRAM = """
import sys
from pacs.processes.preparing import prepare
from pacs.settings import load
from pathlib import Path
try:
    prepare(load(Path(sys.argv[2]) if len(sys.argv) > 2 else None, {"data": Path(sys.argv[1])}))
except Exception as problem:
    print(type(problem).__name__, problem)
else:
    print("prepared")
print("pacs.app" in sys.modules)
"""


def prepared(*arguments: str) -> tuple[str, str]:
    """What came of it, and whether the calling process has the archive loaded."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, timeout=200)
    told, is_loaded = done.stdout.splitlines()
    return told, is_loaded


def test_the_folder_is_ready_and_the_caller_stays_small(tmp_path: Path) -> None:
    assert prepared(str(tmp_path / "data")) == ("prepared", "False")
    assert (tmp_path / "data" / "index.sqlite").is_file()


def test_an_index_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"no database, although long enough to be looked at" * 100)
    told, _ = prepared(str(tmp_path))
    assert told.startswith("StorageError")


def test_what_the_settings_name_and_is_not_there_is_told(tmp_path: Path) -> None:
    missing = f"{tmp_path}/nowhere.pem"
    config = tmp_path / "pacs.toml"
    config.write_text(f'[dicom.tls]\ncertificate = "{missing}"\nkey = "{missing}"\n')
    told, is_loaded = prepared(str(tmp_path / "data"), str(config))
    assert told.startswith("InvalidSettings")
    assert "nowhere.pem" in told
    assert is_loaded == "False"


_PREPARES_FOR_EVER = """
import sys, threading
from pathlib import Path
from pacs.processes import preparing
from pacs.settings import load
def for_ever(_settings):
    print("begun", flush=True)
    threading.Event().wait()
preparing.require_usable_folders = for_ever
preparing.prepare(load(None, {"data": Path(sys.argv[1])}))
"""


def test_it_ends_with_whom_it_is_done_for(tmp_path: Path) -> None:
    """Or the next start would find the folder served, by somebody who replays for a start that nobody waits for."""
    command = [sys.executable, "-c", _PREPARES_FOR_EVER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starting:
        assert starting.stdout is not None
        assert starting.stdout.readline() == "begun\n"
        (task,) = Path(f"/proc/{starting.pid}/task").iterdir()
        (preparing,) = (task / "children").read_text().split()
        assert Path(f"/proc/{preparing}").exists(), "the control: it is seen"
        starting.kill()
        try:
            wait_until(lambda: not Path(f"/proc/{preparing}").exists(), 20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(preparing), signal.SIGKILL)
