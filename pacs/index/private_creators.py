"""Whose the private attributes of an answer are: the elements that reserve their blocks (PS3.5 §7.8.1)."""

from __future__ import annotations

from pacs.index.search import asked_of
from pacs.index.searchable import Searchable
from pacs.model import DicomJson, Query
from pacs.part10.private_blocks import creator_tag


def private_creators(query: Query, searchable: Searchable) -> DicomJson:
    """The Private Creators of the private attributes that the query asks for. Where several may be meant none is told,
    for an answer does not say whose it shows."""
    asked: dict[int, set[str]] = {}
    for tag in {match.path[0] for match in query.matches} | (query.include or frozenset()):
        creator = creator_tag(tag)
        if creator is not None:
            names = asked.setdefault(creator, set())
            names.update(one.private_creator for one in asked_of(query, (tag,), searchable))
    return {f"{tag:08X}": {"vr": "LO", "Value": [*names]} for tag, names in asked.items() if len(names) == 1}


def with_creators(answer: DicomJson, creators: DicomJson) -> DicomJson:
    """`answer` with them, in order of tags (PS3.18 §10.6.3.3); also where it has no value of what is in their blocks,
    for a door may send that empty."""
    return dict(sorted({**answer, **creators}.items()))
