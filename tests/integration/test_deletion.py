"""A whole archive: deleted over HTTP in one process, gone and back in all of them, erased by the background worker."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from requests.exceptions import HTTPError

from tests.dicomweb.served import image, written
from tests.running_archive import RunningArchive
from tests.waiting import wait_until


@pytest.fixture
def archive(tmp_path: Path):
    with RunningArchive(tmp_path / "data", PACS_HTTP__DELETE="true", PACS_HTTP__WORKERS="2") as running:
        yield running


@pytest.fixture
def stack():
    with ExitStack() as opened:
        yield opened


def found_by_dimse(archive: RunningArchive, study: str) -> str:
    """What C-FIND says, without the numbers of its messages."""
    keys = ["0008,0052=STUDY", f"0020,000D={study}", "0010,0010", "0008,0061", "0020,1206", "0020,1208"]
    options = ["-v", "-S", *(part for key in keys for part in ("-k", key))]
    done = archive.dcmtk("findscu", *options)
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    # The request is shown, too, with its keys empty.
    answered = [line for line in lines if re.search(r"\((0010,0010|0008,0061|0020,120[68])\)", line)]
    return "\n".join(line for line in answered if "no value available" not in line)


@pytest.mark.timeout(600)
def test_gone_everywhere_and_back_as_it_was(archive: RunningArchive, stack: ExitStack, tmp_path: Path) -> None:
    study = "1.2.826.0.1.99"
    data_sets = [
        image(StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", PatientName="Secret^Patient", InstanceNumber=n)
        for n in (1, 2, 3)
    ]
    files = []
    for number, data_set in enumerate(data_sets):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(written(data_set))
    assert archive.storescu(*map(str, files)).returncode == 0
    uid = data_sets[1].SOPInstanceUID
    frame = f"{archive.dicomweb}/studies/{study}/series/{study}.1/instances/{uid}/frames/1"
    paths = [
        frame,
        f"{archive.dicomweb}/studies?StudyInstanceUID={study}",
        f"{archive.dicomweb}/studies/{study}/metadata",
    ]
    # Each connection is of one process: both remember what they have answered.
    clients = [stack.enter_context(httpx.Client()) for _ in range(6)]
    before = [[client.get(path).content for path in paths] for client in clients]
    assert len({tuple(answers) for answers in before}) == 1
    by_dimse = found_by_dimse(archive, study)
    assert "Secret" in by_dimse
    client = DICOMwebClient(archive.dicomweb)
    with pytest.raises(HTTPError, match="400"):
        client.delete_study(study)
    client.delete_study(study, additional_params={"reason": "wrong patient"})
    for one in clients:
        assert one.get(frame).status_code == 410
        assert one.get(paths[1]).json() == []
        assert one.get(paths[2]).status_code == 410
    assert found_by_dimse(archive, study) == ""
    moved = archive.dcmtk("getscu", "-S", "-k", "0008,0052=STUDY", "-k", f"0020,000D={study}", "-od", str(tmp_path))
    assert "Secret" not in moved.stdout
    (listed,) = json.loads(archive.run("trash", "list", "--json").stdout)
    name = listed["deletion"][:12]
    assert name in archive.run("trash", "list").stdout
    done = archive.run("trash", "restore", name)
    assert done.returncode == 0 and "3 images are back" in done.stdout
    for one, answers in zip(clients, before, strict=True):
        assert [one.get(path).content for path in paths] == answers
    assert found_by_dimse(archive, study) == by_dimse
    # Deleted again, and erased while the archive runs.
    said = clients[0].delete(f"{archive.dicomweb}/studies/{study}", params={"reason": "again"}).json()
    assert archive.run("trash", "erase", said["deletion"], "--now").returncode == 0
    one = f"{archive.dicomweb}/trash/{said['deletion']}"
    wait_until(lambda: clients[0].get(one).json()["state"] == "erased", 60)
    assert clients[1].get(frame).status_code == 410
    for path in (archive.data / "objects").rglob("*"):
        assert not path.is_file() or b"Secret" not in path.read_bytes()
    assert archive.run("check", "--bytes").returncode == 0
    assert archive.storescu(*map(str, files)).returncode == 0
    assert found_by_dimse(archive, study) == by_dimse
    for one in clients:
        assert one.get(frame).content == before[0][0]
    assert "again" not in archive.log.read_text() and "Secret" not in archive.log.read_text()
