"""Real files: whatever a list shows is found by its own value, and by its beginning and middle where wild cards go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacs.errors import PacsError
from pacs.index import Index
from pacs.model import InstanceKey, Level, Location, Match, NewInstance, Query
from pacs.part10.file_meta import read_file_meta
from pacs.part10.header import scan
from pacs.part10.indexed_attributes import indexed_attributes

pytestmark = pytest.mark.corpus

_UNIQUE = {Level.STUDY: "0020000D", Level.SERIES: "0020000E"}
_WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})


def _new_instance(content: bytes) -> NewInstance:
    meta = read_file_meta(content)
    found = indexed_attributes(scan(memoryview(content)[meta.data_set_offset :], meta.transfer_syntax_uid))
    return NewInstance(
        key=InstanceKey("default", found.study_instance_uid, found.series_instance_uid, found.sop_instance_uid),
        sop_class_uid=found.sop_class_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        digest="00" * 32,
        location=Location("segment", 0, len(content), meta.data_set_offset),
        header_length=0,
        number_of_frames=0,
        frame_table=b"",
        patient=found.patient,
        study=found.study,
        series=found.series,
        instance=found.instance,
    )


@pytest.fixture(scope="module")
def filled(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """One file of each folder: enough for every study and series of interest."""
    index = Index.open(f"sqlite:///{tmp_path_factory.mktemp('index') / 'index.db'}")
    index.migrate()
    for folder in sorted({path.parent for path in corpus.rglob("*") if path.is_file()}):
        for path in sorted(path for path in folder.iterdir() if path.is_file())[:3]:
            try:
                new = _new_instance(path.read_bytes())
            except PacsError:
                continue
            index.add([new])
    assert index.holdings().studies > 20
    yield index
    index.close()


def _texts(attribute: dict[str, Any]) -> Iterator[str]:
    for value in attribute.get("Value", ()):
        if isinstance(value, dict):
            yield "=".join(value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
        elif value is not None:
            yield str(value)


@pytest.mark.parametrize("level", list(_UNIQUE), ids=str)
def test_every_value_finds_what_it_belongs_to(filled: Index, level: Level) -> None:
    asked: set[tuple[str, str]] = set()
    missed = []
    for answer in list(filled.search("default", Query(level))):
        for tag, attribute in answer.items():
            if attribute["vr"] in ("SQ", "UN"):
                continue
            for text in _texts(attribute):
                if not text.strip("^= "):
                    continue  # a name of nothing but separators is empty
                forms = [text]
                if attribute["vr"] in _WILDCARDS and len(text) > 2 and "=" not in text:
                    forms += [f"{text[:-1]}*", f"*{text[1:-1]}*", f"?{text[1:]}"]
                for form in forms:
                    if (tag, form) in asked:
                        continue
                    asked.add((tag, form))
                    query = Query(level, (Match((int(tag, 16),), (form,)),), include=frozenset())
                    found = {other[_UNIQUE[level]]["Value"][0] for other in filled.search("default", query)}
                    if answer[_UNIQUE[level]]["Value"][0] not in found:
                        missed.append((tag, form))
    assert missed == []
    assert len(asked) > 200
