"""Searches: which attributes they know, and their answers, page by page.

Keys with a column are matched by the database; the others on each row's kept attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Engine, or_

from pacs.index import gram_tables, grams, results
from pacs.index.allowance import Allowance
from pacs.index.columns import LEVELS, ORDER, ROW_ABOVE
from pacs.index.criteria import Empty
from pacs.index.keys import criteria
from pacs.index.keys import criterion as criterion_of
from pacs.index.matching_rows import Above, matching, rows_above
from pacs.index.moments import DATE_OF, TIME_OF
from pacs.index.page_marks import Mark, PageMarks, question_of
from pacs.index.pages import Key, Pages, Plan, SearchableKey
from pacs.index.planning import is_supported, plan
from pacs.index.searchable import Searchable, SearchableAttribute
from pacs.index.searchable_conditions import condition as condition_on
from pacs.index.searchable_values import vr_of
from pacs.index.wildcard import has_wildcard
from pacs.model import DicomJson, Level, Match, Query

_LONG_TEXTS = frozenset({"LT", "ST", "UC", "UR", "UT"})
_FIRST_PAGE = 100
_NEXT_PAGE = 500


def search(
    engine: Engine,
    hospital: str,
    query: Query,
    *,
    marks: PageMarks,
    searchable: Searchable,
    reader: str,
    allowance: Allowance,
) -> Iterator[DicomJson]:
    """See `pacs.index.Index.search`."""
    keys = _searchable_keys(engine, hospital, query, searchable)
    planned = plan(hospital, query, engine.dialect.name, keys, _shown_attributes(query, searchable))
    question = question_of(hospital, reader, query) if query.limit is not None else None
    return _answers(engine, planned, marks, question, allowance, searchable)


def unsupported_keys(query: Query, searchable: Searchable) -> frozenset[int]:
    """See `pacs.index.Index.unsupported_keys`."""
    asking = {tag for tag, _ in criteria(query) if not is_supported(tag, query.level)}
    by_tag = {tag: [match for match in query.matches if match.path[0] == tag and match.values] for tag in asking}
    return frozenset(
        tag
        for tag, matches in by_tag.items()
        if not _is_creator(tag, searchable) and not all(asked_of(query, match.path, searchable) for match in matches)
    )


def searchable_keys(query: Query, searchable: Searchable) -> frozenset[int]:
    """See `pacs.index.Index.searchable_keys`."""
    if not searchable.known():
        return frozenset()
    asked = {match.path[0] for match in query.matches if asked_of(query, match.path, searchable)}
    return frozenset(asked | {match.path[0] for match in query.matches if _is_creator(match.path[0], searchable)})


def incomplete_keys(query: Query, searchable: Searchable) -> frozenset[int]:
    """See `pacs.index.Index.incomplete_keys`."""
    if not searchable.known():
        return frozenset()
    # What is kept for answers is looked at there as well.
    asked = {tag for tag, _ in criteria(query) if not is_supported(tag, query.level)}
    matches = [match for match in query.matches if match.path[0] in asked and match.values]
    by_tag = [(match.path[0], asked_of(query, match.path, searchable)) for match in matches]
    incomplete = {one.id for one in searchable.incomplete(one for _, several in by_tag for one in several)}
    return frozenset(tag for tag, several in by_tag if any(one.id in incomplete for one in several))


def answered_fields(tags: Iterable[int], level: Level, searchable: Searchable) -> frozenset[int]:
    """See `pacs.index.Index.answered_fields`."""
    shown = [one for one in searchable.known() if _is_shown(one, level)]
    return frozenset(
        tag
        for tag in tags
        if results.is_answered(tag, level) or any(_is_of(one, tag) for one in shown) or _is_creator(tag, searchable)
    )


def asked_of(query: Query, path: tuple[int, ...], searchable: Searchable) -> list[SearchableAttribute]:
    """The searchable attributes that a key means: of a private one, of the creator that the query names, or of any."""
    found = [one for one in searchable.known() if one.is_asked_by(path)]
    if not any(one.private_creator for one in found):
        return found
    creator_tag = path[0] & 0xFFFF0000 | path[0] >> 8 & 0xFF
    creators = {value for match in query.matches if match.path == (creator_tag,) for value in match.values}
    return [one for one in found if not creators or one.private_creator in creators]


def _is_creator(tag: int, searchable: Searchable) -> bool:
    """Whether it says whose a private attribute is that can be searched for."""
    is_one = bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF
    return is_one and any(one.private_creator and one.tag >> 16 == tag >> 16 for one in searchable.known())


def _searchable_keys(engine: Engine, hospital: str, query: Query, searchable: Searchable) -> list[SearchableKey]:
    """Keys on attributes that were made searchable."""
    keys = []
    for match in query.matches if searchable.known() else ():
        is_kept = is_supported(match.path[0], query.level)
        attributes = [
            one
            for one in asked_of(query, match.path, searchable)
            if not is_kept or (_is_narrowed_by(one, query, match) and not searchable.is_far_behind(one))
        ]
        found = []
        for attribute in attributes:
            asked = criterion_of(query, match, vr_of(attribute.path, attribute.vr))
            if asked is None or (is_kept and isinstance(asked, Empty)):
                break  # any row, or one that has no value
            if is_kept and query.level in gram_tables.TABLES and grams.asked(hospital, match.path[0], asked):
                break  # it is found in the order of the list
            found.append(condition_on(engine, hospital, attribute, asked, query.level, with_unlooked=is_kept))
        else:
            if found:
                keys.append(SearchableKey(or_(*(said for said, _ in found)), all(is_few for _, is_few in found)))
    return keys


def _is_narrowed_by(attribute: SearchableAttribute, query: Query, match: Match) -> bool:
    """Whether every row whose kept attribute matches has a value that does."""
    if attribute.tag in TIME_OF or attribute.tag in DATE_OF or attribute.vr == "DT":
        return not query.timezone_offset and not query.combines_date_and_time
    # The kept values of long texts are their beginnings.
    return attribute.vr not in _LONG_TEXTS or not any(has_wildcard(value) for value in match.values)


def _shown_attributes(query: Query, searchable: Searchable) -> list[tuple[int, SearchableAttribute]]:
    """Those that answers show, with the tag they are asked by; kept ones are shown from the rows."""
    asked = {match.path for match in query.matches} | {(tag,) for tag in query.include or ()}
    known = [one for one in searchable.known() if _is_shown(one, query.level)]
    found = {
        (path[0], one.id): one
        for path in asked
        for one in asked_of(query, path, searchable)
        if one in known and not is_supported(path[0], query.level)
    }
    for one in known:
        tag = one.path[0]
        is_asked = not one.private_creator and (query.include is None or (tag,) in asked)
        if is_asked and not is_supported(tag, query.level):
            found[tag, one.id] = one
    return [(tag, one) for (tag, _), one in found.items()]


def _is_shown(attribute: SearchableAttribute, level: Level) -> bool:
    """Whether answers of the level hold it: of the level itself, or the one above."""
    return level is not Level.PATIENT and attribute.level in LEVELS[LEVELS.index(level) - 1 : LEVELS.index(level) + 1]


def _is_of(attribute: SearchableAttribute, tag: int) -> bool:
    return attribute.is_asked_by((tag,)) or (not attribute.private_creator and attribute.path[0] == tag)


def _answers(
    engine: Engine,
    plan: Plan,
    marks: PageMarks,
    question: bytes | None,
    allowance: Allowance,
    searchable: Searchable,
) -> Iterator[DicomJson]:
    if plan.limit == 0:
        return
    pages = Pages(engine, plan, allowance, rows_above(engine, plan, allowance))
    begin = _begin(pages, plan, marks, question)
    if begin is None:
        return
    above = Above(engine, allowance)
    position, key = begin
    stop = None if plan.limit is None else plan.offset + plan.limit
    size = _FIRST_PAGE if plan.limit is None or plan.limit > _NEXT_PAGE else plan.limit
    while stop is None or position < stop:
        page = pages.read(key or None, size)
        before = position
        answers: list[DicomJson] = []
        ends: dict[int, Key] = {}
        with allowance.spending():
            shown = _shown(plan, page, searchable)
            for row, answer in matching(plan, above, page):
                answer.update((tag, values[row.id]) for tag, values in shown.items() if row.id in values)
                position += 1
                if position > plan.offset:
                    answers.append(results.chosen(answer, plan.tags))
                if stop is not None and position >= stop - 1:
                    ends[position] = pages.key_of(row)
                if position == stop:
                    break
        if question and position == stop:
            # A door asks for one answer more than it gives, so the page may end before the last.
            marks.note(question, ends)
        yield from answers
        if len(page) < size:
            return
        allowance.check()
        key = pages.key_of(page[-1])
        size = _next_size(size, position - before, None if stop is None else stop - position)


def _next_size(size: int, matched: int, missing: int | None) -> int:
    """Of the next page: little more where much of the last one matched, for the database may walk far for each row."""
    if missing is None:
        return _NEXT_PAGE
    return min(_NEXT_PAGE, 2 * missing if 4 * matched >= size else max(2 * missing, 4 * size))


def _begin(pages: Pages, plan: Plan, marks: PageMarks, question: bytes | None) -> Mark | None:
    """After which row to begin, and how many answers lie before; None when there are fewer than the offset."""
    if not plan.offset:
        return Mark(0, ())
    is_descending = ORDER[plan.level][1]
    mark = (marks.nearest(question, plan.offset, is_descending=is_descending) if question else None) or Mark(0, ())
    if plan.residual:  # rows that do not match are no part of the offset
        return mark
    key = pages.key_at(plan.offset, mark)
    return Mark(plan.offset, key) if key else None


def _shown(plan: Plan, page: list[Any], searchable: Searchable) -> dict[str, dict[int, Any]]:
    """By tag, what answers show of searchable attributes, of the level or the one above, by row."""
    shown: dict[str, dict[int, Any]] = {}
    for tag, attribute in plan.shown if page else ():
        if attribute.level is plan.level:
            rows = {row.id: row.id for row in page}
        else:
            rows = {row.id: getattr(row, ROW_ABOVE[plan.level]) for row in page}
        values = searchable.shown(attribute, list(set(rows.values())))
        shown.setdefault(f"{tag:08X}", {}).update((row, values[of]) for row, of in rows.items() if of in values)
    return shown
