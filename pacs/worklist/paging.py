"""One page of a search for workitems, and where the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pacs.errors import TooBroad
from pacs.index.page_marks import Mark, PageMarks
from pacs.index.workitems import KeptWorkitem
from pacs.model import DicomJson, Query
from pacs.worklist import matching


def page(
    candidates: Callable[[int], Iterator[KeptWorkitem]],
    keys: matching.Keys,
    query: Query,
    most: int,
    marks: PageMarks,
    question: bytes,
) -> tuple[list[DicomJson], bool]:
    """`most` of those of `candidates` that meet `keys`, from the query's offset on, and whether there may be more.

    `candidates` gives those behind a row. What takes longer than a search may is given as far as it was found, and the
    next page goes on there.

    Raises:
        TooBroad: nothing of the page was found in that time.
    """
    mark = (marks.nearest(question, query.offset) if query.offset else None) or Mark(0, (0,))
    at, row = mark.offset, int(mark.key[0])
    found: list[DicomJson] = []
    has_more = False
    try:
        for kept in candidates(row):
            if matching.matches(kept.attributes, keys):
                if at >= query.offset and len(found) == most:
                    has_more = True
                    break
                at += 1
                if at > query.offset:
                    found.append(matching.shown(kept.attributes, query, keys))
            row = kept.row
    except TooBroad:
        has_more = True
        if not found:
            if query.offset:  # who asks again comes further
                marks.note(question, {at: (row,)}, instead=mark if mark.offset == at else None)
            raise
    if has_more:
        marks.note(question, {at: (row,)})
    return found, has_more
