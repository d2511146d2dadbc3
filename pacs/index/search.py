"""A query as SQL, and its answers.

Keys with a column are matched by the database; the others on each row's kept attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, Select, false, or_

from pacs.index import gram_tables, grams, results
from pacs.index.allowance import Allowance
from pacs.index.columns import LEVELS, ORDER, ROW_ABOVE, ROWS, TABLES, Condition, condition, condition_below, level_of
from pacs.index.criteria import Criterion, Empty, FuzzyNames, Ranges, Uids, Words, satisfies
from pacs.index.grams import of_modality
from pacs.index.joins import with_levels_above
from pacs.index.keyed import keyed
from pacs.index.keys import criteria
from pacs.index.keys import criterion as criterion_of
from pacs.index.matching_rows import Above, matching, rows_above
from pacs.index.moments import DATE_OF, TIME_OF
from pacs.index.normal_form import MAX_WORD
from pacs.index.page_marks import Mark, PageMarks, question_of
from pacs.index.pages import Days, Key, Pages, Plan, SearchableKey
from pacs.index.searchable import Searchable, SearchableAttribute
from pacs.index.searchable_conditions import condition as condition_on
from pacs.index.searchable_values import vr_of
from pacs.index.wildcard import has_wildcard
from pacs.model import DicomJson, Level, Match, Query

_STUDY_DATE = 0x00080020
_LONG_TEXTS = frozenset({"LT", "ST", "UC", "UR", "UT"})
_MODALITIES, _SOP_CLASSES = 0x00080061, 0x00080062
_LISTED_IN_STUDY = {0x00080060: _MODALITIES, 0x00080016: _SOP_CLASSES}
"""Modality, SOP Class UID -> the list of them in the study's row."""
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
    asking = {tag for tag, _ in criteria(query) if not _is_supported(tag, query.level)}
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
    asked = {tag for tag, _ in criteria(query) if not _is_supported(tag, query.level)}
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
        is_kept = _is_supported(match.path[0], query.level)
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
        if one in known and not _is_supported(path[0], query.level)
    }
    for one in known:
        tag = one.path[0]
        is_asked = not one.private_creator and (query.include is None or (tag,) in asked)
        if is_asked and not _is_supported(tag, query.level):
            found[tag, one.id] = one
    return [(tag, one) for (tag, _), one in found.items()]


def _is_shown(attribute: SearchableAttribute, level: Level) -> bool:
    """Whether answers of the level hold it: of the level itself, or the one above."""
    return level is not Level.PATIENT and attribute.level in LEVELS[LEVELS.index(level) - 1 : LEVELS.index(level) + 1]


def _is_of(attribute: SearchableAttribute, tag: int) -> bool:
    return attribute.is_asked_by((tag,)) or (not attribute.private_creator and attribute.path[0] == tag)


def _is_supported(tag: int, level: Level) -> bool:
    if tag in results.PATIENT_COUNTERS and level is not Level.PATIENT:
        return False  # at study level and below, they are not at hand
    if level_of(tag) is not None:
        return True
    upto = LEVELS[: LEVELS.index(level) + 1]
    return any(tag in results.ANSWERED[above] for above in upto)


def plan(
    hospital: str,
    query: Query,
    dialect: str,
    searchable_keys: Sequence[SearchableKey] = (),
    shown: Sequence[tuple[int, SearchableAttribute]] = (),
) -> Plan:
    """`query` in SQL. Raises: InvalidRequest, a key cannot be understood."""
    # Others are as if they had no value (PS3.4 C.4.1.2.2.1, PS3.18 §8.3.4.1); `unsupported_keys` tells.
    asked = [(tag, criterion) for tag, criterion in criteria(query) if _is_supported(tag, query.level)]
    found = keyed(hospital, query.level, asked) if not searchable_keys else None
    if found is None or query.offset:
        made = _plan(hospital, query, asked, dialect, searchable_keys, shown)
        return replace(made, keyed=found) if found else made
    return Plan(
        hospital=hospital,
        level=query.level,
        rows=found.statement(),
        residual=(),
        tags=_tags(query),
        limit=query.limit,
        offset=0,
        shown=tuple(shown),
        keyed=found,
    )


def _plan(
    hospital: str,
    query: Query,
    asked: Sequence[tuple[int, Criterion]],
    dialect: str,
    searchable_keys: Sequence[SearchableKey] = (),
    shown: Sequence[tuple[int, SearchableAttribute]] = (),
) -> Plan:
    rows = _rows_of(hospital, query.level)
    residual: list[tuple[int, Criterion]] = []
    below: list[tuple[int, Criterion]] = []
    found_by: list[grams.Alternatives] = []
    days: Days = (None, None)
    is_keyed, is_list, lists_modalities = False, query.level is Level.STUDY, 0
    conditions: dict[Level, list[Condition]] = {}
    for tag, criterion in (*asked, *(_implied(asked) if query.level is Level.STUDY else ())):
        if tag == results.INSTANCE_AVAILABILITY:
            if not satisfies(results.whole_answer(), tag, criterion):
                rows = rows.where(false())  # what is answered at all is at hand
            continue
        level = level_of(tag)
        if level is not None and LEVELS.index(level) > LEVELS.index(query.level):
            below.append((tag, criterion))
            continue
        by_grams = grams.asked(hospital, tag, criterion) if query.level in gram_tables.TABLES else ()
        found_by += by_grams
        # Grams lead to names that are close more surely than all the patterns that one may have.
        is_found = bool(by_grams) and isinstance(criterion, FuzzyNames)
        said = None if is_found else condition(tag, criterion, query.level, dialect)
        if said is not None:
            conditions.setdefault(level or query.level, []).append(said.condition)
        if said is None or not said.is_whole:
            residual.append((tag, criterion))
        is_keyed = is_keyed or (said is not None and said.is_key)
        if days == (None, None) and tag == _STUDY_DATE and isinstance(criterion, Ranges) and len(criterion.ranges) == 1:
            days = criterion.ranges[0]
        elif tag == _MODALITIES and isinstance(criterion, Words) and len(set(criterion.patterns)) == 1:
            lists_modalities += 1
        else:
            is_list = False
    for key in searchable_keys:
        rows = rows.where(key.condition)
        is_keyed, is_list = is_keyed or key.is_few, False
    if below:
        said = condition_below(hospital, below, query.level, dialect)
        rows = rows.where(said.condition)
        is_keyed = is_keyed or said.is_key
        is_list = False
    rows = with_levels_above(rows, hospital, query.level, conditions, in_turn=dialect == "sqlite" and not is_keyed)
    columns, is_descending = ORDER[query.level]
    by_modality = () if is_keyed or query.level is not Level.STUDY else _modalities(hospital, asked)
    return Plan(
        hospital=hospital,
        level=query.level,
        rows=rows.order_by(*(column.desc() if is_descending else column for column in columns)),
        residual=tuple(residual),
        tags=_tags(query),
        limit=query.limit,
        offset=query.offset,
        grams=() if is_keyed else tuple(found_by),
        modalities=by_modality,
        days=days if query.level is Level.STUDY else None,
        is_list=is_list and not lists_modalities,
        is_list_of_modality=is_list and lists_modalities == len(by_modality) == 1,
        shown=tuple(shown),
        above=None if is_keyed else _plan_above(hospital, query.level, asked, dialect),
        # A study's row has what it says of its patient.
        asks_itself=query.level is Level.STUDY or any(_level_that_keeps(tag) is query.level for tag, _ in asked),
    )


def _tags(query: Query) -> frozenset[str] | None:
    return results.chosen_tags(query.include, frozenset(match.path[0] for match in query.matches))


def _modalities(hospital: str, asked: Sequence[tuple[int, Criterion]]) -> tuple[int, ...]:
    """Numbers of modalities of which every study that matches has one; none when that cannot be said."""
    for tag, criterion in (*asked, *_implied(asked)):
        if tag == _MODALITIES and isinstance(criterion, Words) and not any(map(_is_open, criterion.patterns)):
            wanted = criterion.patterns[:1] if criterion.needs_all else criterion.patterns
            return tuple(sorted({of_modality(hospital, modality) for modality in wanted}))
    return ()


def _is_open(pattern: str) -> bool:
    """Whether it is more, or other, than one word of a list, which has the beginning of a longer one."""
    return has_wildcard(pattern) or "\\" in pattern or len(pattern) > MAX_WORD


def _plan_above(hospital: str, level: Level, asked: Sequence[tuple[int, Criterion]], dialect: str) -> Plan | None:
    """What is asked of the levels above, as a search there; None when nothing is."""
    if level not in (Level.SERIES, Level.IMAGE):
        return None
    upper = LEVELS[LEVELS.index(level) - 1]
    in_study = [one for one in _implied(asked) if one[0] == (_SOP_CLASSES if level is Level.IMAGE else _MODALITIES)]
    keys = [
        (tag, criterion)
        for tag, criterion in asked
        if tag != results.INSTANCE_AVAILABILITY and LEVELS.index(_level_that_keeps(tag)) <= LEVELS.index(upper)
    ]
    if not keys and not in_study:
        return None
    return replace(_plan(hospital, Query(upper), [*keys, *in_study], dialect), is_implied=not keys)


def _implied(asked: Sequence[tuple[int, Criterion]]) -> list[tuple[int, Criterion]]:
    """What a study has in which a series or instance meets a key: its lists say so, and are sooner read."""
    return [
        (_LISTED_IN_STUDY[tag], criterion)
        for tag, criterion in asked
        if tag in _LISTED_IN_STUDY
        and (
            isinstance(criterion, Uids) or (isinstance(criterion, Words) and not any(map(_is_open, criterion.patterns)))
        )
    ]


def _level_that_keeps(tag: int) -> Level:
    """The level of which an attribute that can be asked for is."""
    return level_of(tag) or next(level for level in LEVELS if tag in results.ANSWERED[level])


def _rows_of(hospital: str, level: Level) -> Select[Any]:
    return ROWS[level].where(TABLES[level].c.hospital == hospital)


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
