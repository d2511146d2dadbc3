"""Real files: whatever a list shows is found by its own value, and by its beginning and middle where wild cards go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs.errors import InvalidRequest, PacsError
from pacs.index import Index
from pacs.index.results import ANSWERED
from pacs.model import DicomJson, InstanceKey, Level, Location, Match, NewInstance, Query
from pacs.part10.file_meta import read_file_meta
from pacs.part10.header import scan
from pacs.part10.indexed_attributes import indexed_attributes

pytestmark = pytest.mark.corpus

_UNIQUE = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}
_CHARACTER_SET = 0x00080005
_VALUES_EACH = 5
"""Of each attribute, so many values are asked for."""
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


def _values(data_set: DicomJson, above: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], str, str]]:
    """Path, VR and text of every value, those inside sequences too."""
    for tag, attribute in data_set.items():
        path = (*above, int(tag, 16))
        if path[-1] == _CHARACTER_SET:
            continue  # how text is written is no key
        for value in attribute.get("Value", ()):
            if attribute["vr"] == "SQ":
                yield from _values(value, path)
            elif isinstance(value, dict):
                groups = (value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic"))
                yield path, "PN", "=".join(groups).rstrip("=")
            elif value is not None:
                yield path, attribute["vr"], str(value)


def _forms(vr: str, text: str) -> list[str]:
    """The value; where wild cards go its beginning, its middle and its end; a range where dates go."""
    if vr in ("DA", "DT", "TM"):
        return [text, f"{text}-", f"-{text}"] if "-" not in text else [text]
    if vr not in _WILDCARDS or len(text) < 3 or "=" in text:
        return [text]
    return [text, f"{text[:-1]}*", f"*{text[1:-1]}*", f"?{text[1:]}"]


@pytest.mark.parametrize("level", list(_UNIQUE), ids=str)
def test_every_value_finds_what_it_belongs_to(filled: Index, level: Level) -> None:
    asked: set[tuple[tuple[int, ...], str]] = set()
    of_path: Counter[tuple[int, ...]] = Counter()
    missed, no_dates = [], set()
    own = ANSWERED[level] | (ANSWERED[Level.PATIENT] if level is Level.STUDY else frozenset())
    for answer in list(filled.search("default", Query(level))):
        name = answer[_UNIQUE[level]]["Value"][0]
        for path, vr, text in _values(answer):
            if path[0] not in own or vr == "UN" or not text.strip("^= "):
                continue  # levels above have their own turn; a name of nothing but separators is empty
            if (path, text) in asked or of_path[path] >= _VALUES_EACH:
                continue
            of_path[path] += 1
            for form in _forms(vr, text):
                if (path, form) in asked:
                    continue
                asked.add((path, form))
                query = Query(level, (Match(path, (form,)),), include=frozenset())
                try:
                    found = {other[_UNIQUE[level]]["Value"][0] for other in filled.search("default", query)}
                except InvalidRequest:
                    assert vr in ("DA", "DT", "TM"), (path, form)
                    no_dates.add(text)
                    continue
                if name not in found:
                    missed.append((path, form))
    assert missed == []
    assert no_dates <= {"00000000"}, "what is no date cannot be asked for as one"
    assert len(asked) > 200
