"""Matching keys of searches and filters on workitems, by the rules of C-FIND and QIDO-RS. Pure."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR

from pacs.index.criteria import Criterion, Uids, Words, satisfies
from pacs.index.keys import criteria
from pacs.index.matching_items import asked_sequences, with_matching_items
from pacs.index.wildcard import has_wildcard
from pacs.model import DicomJson, Level, Match, Query
from pacs.worklist.attributes import RETURNED, RETURNED_IF_THERE, tag_of

_COLUMNS: Final = {
    tag_of("ProcedureStepState"): "state",
    tag_of("WorklistLabel"): "worklist_label",
    tag_of("PatientID"): "patient_id",
    tag_of("SOPInstanceUID"): "workitem_uid",
}
_TRANSACTION_UID: Final = tag_of("TransactionUID")
_EMPTY: Final = {tag: {"vr": dictionary_VR(tag)} for tag in RETURNED}

Keys = tuple[tuple[int, Criterion], ...]


def keys_of(query: Query) -> Keys:
    """The query's criteria, without the Transaction UID, which cannot be queried.

    Raises:
        InvalidRequest: a value cannot be understood; the message names the key.
    """
    return tuple((tag, criterion) for tag, criterion in criteria(query) if tag != _TRANSACTION_UID)


def matches(workitem: DicomJson, keys: Keys) -> bool:
    """Whether a workitem meets all of them."""
    return all(satisfies(workitem, tag, criterion) for tag, criterion in keys)


def equal_columns(keys: Keys) -> dict[str, tuple[str, ...]]:
    """What the keys say of columns that the index finds rows by; never narrower than the keys."""
    found: dict[str, tuple[str, ...]] = {}
    for tag, criterion in keys:
        name = _COLUMNS.get(tag)
        if name is None:
            continue
        if isinstance(criterion, Uids):
            found[name] = criterion.values
        elif isinstance(criterion, Words) and not any(map(has_wildcard, criterion.patterns)):
            found[name] = criterion.patterns
    return found


def shown(workitem: DicomJson, query: Query, keys: Keys) -> DicomJson:
    """What an answer of a search has of a workitem (PS3.18 §11.9.2); of sequences, what `keys` match."""
    if sequences := asked_sequences(keys):
        workitem = with_matching_items(workitem, sequences)
    if query.include is None:
        return workitem
    asked = query.include | {match.path[0] for match in query.matches}
    chosen: DicomJson = {f"{tag:08X}": empty for tag, empty in _EMPTY.items()}
    for key, attribute in workitem.items():
        tag = int(key, 16)
        if tag in RETURNED or tag in RETURNED_IF_THERE or tag in asked:
            chosen[key] = attribute
    return dict(sorted(chosen.items()))


def as_text(query: Query) -> str:
    """The keys of a filter, to be kept with its subscription."""
    return json.dumps([[list(match.path), list(match.values)] for match in query.matches if match.values])


@lru_cache(maxsize=1024)
def from_text(text: str) -> Keys:
    """As `keys_of` the query that `as_text` was made of."""
    matches_ = tuple(Match(tuple(path), tuple(values)) for path, values in json.loads(text))
    return keys_of(Query(Level.IMAGE, matches_, combines_date_and_time=True))
