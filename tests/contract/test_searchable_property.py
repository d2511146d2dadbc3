"""What is answered by attributes that an operator made searchable equals what a plain reading in Python answers."""

from __future__ import annotations

import itertools
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, select

from pacs.index import Index
from pacs.index.tables import instances
from pacs.model import DicomJson, Level, Match, Query
from tests.contract.plain_matcher import _holds as holds
from tests.index.new_instances import attributes, name, new_instance

_hospitals = itertools.count()
_NAME, _TEXT, _NUMBER, _PRIVATE = 0x0008009C, 0x00321033, 0x00180060, 0x00110003
_LEVELS = {_NAME: Level.SERIES, _TEXT: Level.STUDY, _NUMBER: Level.IMAGE, _PRIVATE: Level.SERIES}
_LIKE = {_NAME: 0x00080090, _TEXT: 0x00080050, _NUMBER: 0x00280010, _PRIVATE: 0x00080090}
"""Attributes of the same kind, which the plain matcher knows."""
_PLACES = {Level.STUDY: 1, Level.SERIES: 2, Level.IMAGE: 3}
_KEYS = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}

_names = st.builds(
    name,
    st.sampled_from(["", "Kim^A", "Lee^B", "k"]),
    st.sampled_from(["", "金^甲", "金^乙", "k"]),
    st.sampled_from(["", "k"]),
)
_found = st.fixed_dictionaries(
    {},
    optional={
        "ConsultingPhysicianName": st.one_of(st.none(), _names, st.lists(_names, min_size=2, max_size=2)),
        "RequestingService": st.sampled_from([None, "", "Ward A", "ward a", "Ward B", "x*y", "z" * 300]),
        "KVP": st.sampled_from([None, 80, 120, 1.5]),
        "private": _names,
    },
)
_patterns = st.sampled_from(
    ["kim^a", "Kim^A=金^甲", "k*", "=金*", "k*=*乙", "*", "=*", "?", "*^?", "==k", "k=k", "*=k=k", "KIM*==k", '""']
)
_asked: dict[int, st.SearchStrategy[str]] = {
    _NAME: _patterns,
    _PRIVATE: _patterns,
    _TEXT: st.sampled_from(["Ward A", "Ward ?", "*a*", "*", "x*", '""', "z" * 300]),
    _NUMBER: st.sampled_from(["80", "80.0", "1.50", '""', "7"]),
}
_keys = st.sampled_from(sorted(_asked)).flatmap(
    lambda tag: st.builds(Match, st.just((tag,)), st.lists(_asked[tag], min_size=1, max_size=2).map(tuple))
)


@given(
    drawn=st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 2), _found), max_size=6),
    level=st.sampled_from(sorted(_PLACES)),
    keys=st.lists(_keys, min_size=1, max_size=2),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_are_those_of_a_plain_matcher(
    index: Index, url: str, drawn: list[Any], level: Level, keys: list[Match]
) -> None:
    hospital = f"h{next(_hospitals)}"
    archive: dict[str, DicomJson] = {}
    for study, series, instance, values in drawn:
        sop = f"{study}.{series}.{instance}"
        if sop in archive:
            continue
        private = values.pop("private", None)
        archive[sop] = attributes(**values) | (
            {"00111003": {"vr": "PN", "Value": [private]}} if private is not None else {}
        )
        index.add([new_instance(f"{study}", f"{study}.{series}", sop, hospital=hospital)])
    _keep_all(index, url, archive)
    keys = [key for key in keys if '""' not in key.values or len(key.values) == 1]
    matches = tuple(Match((0x00111003,), key.values) if key.tag == _PRIVATE else key for key in keys)
    query = Query(level, matches, finds_empty=True)
    found = [answer[_KEYS[level]]["Value"][0] for answer in index.search(hospital, query)]
    entities = {sop.rsplit(".", 3 - _PLACES[level])[0] for sop in archive}
    assert sorted(found) == sorted(one for one in entities if all(_is_matched(one, archive, key) for key in keys))
    assert index.incomplete_keys(query) == frozenset()


def _keep_all(index: Index, url: str, archive: dict[str, DicomJson]) -> None:
    """What the background work does, with values from memory."""
    searchable = index.searchable
    for tag, level in _LEVELS.items():
        searchable.add((tag,), "ACME" if tag == _PRIVATE else "", level)
    engine = create_engine(url)
    deadline = time.monotonic() + 20
    while any(one.done < one.of for one in searchable.progress()):
        assert time.monotonic() < deadline
        found = searchable.next_unlooked(100)
        if found is None:
            continue
        attribute, looked = found
        chosen = select(instances.c.id, instances.c.sop_instance_uid).where(
            instances.c.id.in_([one.row for one in looked])
        )
        with engine.connect() as connection:
            uids: dict[int, str] = {row.id: row.sop_instance_uid for row in connection.execute(chosen)}
        name = "00111003" if attribute.private_creator else f"{attribute.tag:08X}"
        values = [(one, archive[uids[one.row]]) for one in looked]
        searchable.keep(attribute, looked, [(one, {name: has[name]} if name in has else {}) for one, has in values])
    searchable._known_at = float("-inf")
    engine.dispose()


def _is_matched(entity: str, archive: dict[str, DicomJson], key: Match) -> bool:
    """Whether a row of the attribute's level that the entity is, lies in or holds has the value in any instance."""
    depth = _PLACES[_LEVELS[key.tag]]
    related = [sop for sop in archive if f"{sop}.".startswith(f"{entity}.")]
    rows = {".".join(sop.split(".")[:depth]) for sop in related}
    tag = "00111003" if key.tag == _PRIVATE else f"{key.tag:08X}"
    for row in rows:
        below = (archive[sop].get(tag, {}) for sop in archive if f"{sop}.".startswith(f"{row}."))
        data_set = {f"{_LIKE[key.tag]:08X}": {"Value": [value for one in below for value in one.get("Value") or ()]}}
        if holds(data_set, Match((_LIKE[key.tag],), key.values), Query(Level.STUDY, finds_empty=True)):
            return True
    return False
