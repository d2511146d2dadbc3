"""`pacs import` and `pacs status` as a person uses them, on pydicom's own files."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.running_archive import RunningArchive
from tests.waiting import wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, a file that is none, and an image without a SOP Instance UID."""
    made = tmp_path / "in"
    made.mkdir()
    for name in ("CT_small.dcm", "MR_small.dcm"):
        shutil.copy(str(get_testdata_file(name)), made / name)
    (made / "README.txt").write_text("no image")
    whole = (made / "CT_small.dcm").read_bytes()
    uid = whole.rindex(b"\x08\x00\x18\x00UI")
    (made / "nameless.dcm").write_bytes(
        whole[:uid] + whole[uid:].replace(b"\x08\x00\x18\x00UI", b"\x08\x00\x19\x00UI", 1)
    )
    return made


@pytest.fixture
def archive(tmp_path: Path) -> RunningArchive:
    return RunningArchive(tmp_path / "data")


def test_the_summary_counts_stored_refused_and_no_dicom(archive: RunningArchive, folder: Path) -> None:
    done = archive.run("import", str(folder), "--json")
    summary = json.loads(done.stdout)
    assert done.returncode == 1
    assert (summary["stored"], summary["already_there"], summary["no_dicom"]) == (2, 0, 1)
    (refused,) = summary["refused"]
    assert refused["name"].endswith("nameless.dcm")
    assert "SOPInstanceUID" in refused["reason"].replace(" ", "")


def test_it_is_safe_to_repeat(archive: RunningArchive, folder: Path) -> None:
    (folder / "nameless.dcm").unlink()
    assert archive.run("import", str(folder)).returncode == 0
    again = archive.run("import", str(folder), "--json")
    assert again.returncode == 0
    assert (json.loads(again.stdout)["stored"], json.loads(again.stdout)["already_there"]) == (0, 2)


def test_a_zip_and_a_report(archive: RunningArchive, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cd.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for file in folder.iterdir():
            target.write(file, f"DICOM/{file.name}")
    report = tmp_path / "report.jsonl"
    done = archive.run("import", str(tmp_path / "cd.zip"), "--report", str(report))
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted(line["outcome"] for line in lines) == ["no DICOM", "refused", "stored", "stored"]
    assert "stored" in done.stdout
    assert "nameless.dcm" in done.stdout


def test_importing_into_a_running_archive_is_seen_at_once(archive: RunningArchive, folder: Path) -> None:
    import httpx

    with archive:
        archive.run("import", str(folder))
        studies = httpx.get(f"{archive.dicomweb}/studies").json()
    assert len(studies) == 2


def test_status_tells_what_is_there(archive: RunningArchive, folder: Path) -> None:
    missing = archive.run("status")
    assert missing.returncode == 1
    assert "there is no archive" in missing.stderr
    archive.run("import", str(folder))
    found = json.loads(archive.run("status", "--json").stdout)
    assert (found["studies"], found["series"], found["instances"]) == (2, 2, 2)
    assert found["series_by_modality"] == {"CT": 1, "MR": 1}
    assert found["instance_bytes"] > 40_000
    for_people = archive.run("status").stdout
    assert "kept in" in for_people
    assert str(archive.data) in for_people.replace("\n", "")


def test_ctrl_c_keeps_what_was_stored_and_says_so(archive: RunningArchive, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    whole = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    uid = b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
    for number in range(3000):
        changed = uid[:-4] + f"{number:04}".encode()
        (many / f"{number}").write_bytes(whole.replace(uid, changed))
    command = [sys.executable, "-m", "pacs", "import", str(many), "--data", str(archive.data), "--json"]
    importing = subprocess.Popen([*command, "--report", str(tmp_path / "r")], stdout=subprocess.PIPE, text=True)
    report = tmp_path / "r"
    wait_until(lambda: report.exists() and report.stat().st_size >= 4000, 60)
    importing.send_signal(signal.SIGINT)
    summary = json.loads(importing.communicate(timeout=60)[0])
    assert importing.returncode == 130
    assert summary["interrupted"]
    assert 0 < summary["stored"] < 3000
    kept = json.loads(archive.run("status", "--json").stdout)["instances"]
    assert kept >= summary["stored"]
    again = json.loads(archive.run("import", str(many), "--json").stdout)
    assert again["stored"] == 3000 - kept
    assert again["already_there"] == kept
