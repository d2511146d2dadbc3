"""The whole archive with its index on PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from pydicom.data import get_testdata_file

from tests.real_postgresql import PostgreSQL
from tests.running_archive import RunningArchive


@pytest.mark.postgres
@pytest.mark.dcmtk
def test_send_find_look(tmp_path: Path, postgresql: PostgreSQL) -> None:
    postgresql.execute("CREATE DATABASE whole_archive")
    with RunningArchive(tmp_path / "data", PACS_INDEX__URL=postgresql.url("whole_archive")) as archive:
        files = [str(get_testdata_file(name)) for name in ("CT_small.dcm", "MR_small.dcm")]
        assert archive.storescu(*files).returncode == 0
        query = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=*ct1", "-k", "StudyInstanceUID"]
        found = archive.dcmtk("findscu", *query)
        assert "CompressedSamples^CT1" in found.stdout + found.stderr
        (study,) = httpx.get(f"{archive.dicomweb}/studies?ModalitiesInStudy=MR").json()
        url = f"{archive.dicomweb}/studies/{study['0020000D']['Value'][0]}"
        assert httpx.get(f"{url}/thumbnail").headers["content-type"] == "image/jpeg"
        assert json.loads(archive.run("status", "--json").stdout)["instances"] == 2
        assert archive.stop() == 0
