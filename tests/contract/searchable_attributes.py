"""Instances with the attributes that tests of this room make searchable, and what is found by them."""

from __future__ import annotations

import time
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.filewriter import dcmwrite

from pacs.attributes import Attributes
from pacs.model import Level, Match, Query
from tests.ingest.small_archive import Place, encoded

KVP, CALIBRATED, SERVICE, NURSE = 0x00180060, 0x00181200, 0x00321033, 0x00400006
REQUESTS, STEP, PROCEDURE, READING, COMMENTS = 0x00400275, 0x00400009, 0x00401001, 0x00081060, 0x00104000
PRIVATE = '"GEMS_PARM_01",(0043,xx10)'


def send(
    place: Place, number: int, *, block: int = 0x10, creator: str = "GEMS_PARM_01", vr: str = "SH", **values: Any
) -> None:
    private = values.pop("private", None)
    study = values.pop("study", number)
    content = encoded(
        number, StudyInstanceUID=f"1.2.{study}", SeriesInstanceUID=values.pop("series", f"1.2.{number}.1"), **values
    )
    if private is not None:
        data_set = dcmread(BytesIO(content), force=True)
        data_set.add_new(0x00430000 | block, "LO", creator)
        data_set.add_new(0x00430010 | block << 8, vr, private)
        written = BytesIO()
        dcmwrite(written, data_set, implicit_vr=False, little_endian=True, enforce_file_format=False)
        content = written.getvalue()
    place.send(content)


def work(attributes: Attributes) -> None:
    """Until all is looked at. PostgreSQL itself opens transactions (autovacuum), which the work waits for."""
    deadline = time.monotonic() + 20
    while attributes.work_once() or any(
        one.done < one.of and not one.attribute.is_removed for one in attributes.progress()
    ):
        assert time.monotonic() < deadline, attributes.progress()


def find(
    place: Place, level: Level, *keys: tuple[int | tuple[int, ...], str], hospital: str = "default", **ways: Any
) -> list[str]:
    tag = {Level.PATIENT: "00100020", Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}[level]
    matches = (Match(key if isinstance(key, tuple) else (key,), (value,)) for key, value in keys)
    query = Query(level, tuple(matches), **ways)
    return sorted(answer[tag]["Value"][0] for answer in place.index.search(hospital, query))
