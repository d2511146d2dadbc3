"""Of a sequence inside which keys ask for values, an answer has the items that meet them (PS3.4 C.2.2.2.6). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pacs.index.criteria import Criterion, Members, satisfies
from pacs.model import DicomJson

Sequences = tuple[tuple[int, Members], ...]


def asked_sequences(criteria: Iterable[tuple[int, Criterion]]) -> Sequences:
    """Those of a query's criteria that look inside a sequence."""
    return tuple((tag, criterion) for tag, criterion in criteria if isinstance(criterion, Members))


def with_matching_items(answer: DicomJson, sequences: Sequences) -> DicomJson:
    """`answer` without the items of `sequences` that do not match, at any depth; sequences not asked into are whole."""
    changed = dict(answer)
    for tag, members in sequences:
        attribute: dict[str, Any] = changed.get(f"{tag:08X}", {})
        items = attribute.get("Value")
        if not items:
            continue
        inner = asked_sequences(members.criteria)
        changed[f"{tag:08X}"] = {
            **attribute,
            "Value": [
                with_matching_items(item, inner)
                for item in items
                if isinstance(item, dict) and all(satisfies(item, below, one) for below, one in members.criteria)
            ],
        }
    return changed
