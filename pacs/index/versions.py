"""Earlier versions: rows that `instances` had before, and what a coercion started from.

What stands in the tables is decided by the records alone, not by the order in which they are added, so that a rebuilt
index is the lost one: of two versions the one that names the other, else the one received later, is served.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update

from pacs.index import row_values, stale_values
from pacs.index.add import AddResult, Existing, existing, insert
from pacs.index.counters import Counters
from pacs.index.driver import Driver
from pacs.index.rows_above import RowsGone, ensure_segments
from pacs.index.tables import instances, segments, series, studies, versions
from pacs.model import EarlierVersion, InstanceKey, Level, Location, NewInstance, Superseded


def add(driver: Driver, batch: Sequence[NewInstance]) -> list[AddResult]:
    """Write those of `batch` that have no row yet, and those that succeed another; the caller's transaction makes it
    whole.

    Raises:
        The driver's error for a unique key: another process was first with one of them, between our look and our
            insert; roll back and do it again.
        RowsGone: so, too.
    """
    by_hospital: dict[str, dict[int, NewInstance]] = {}
    for at, new in enumerate(batch):
        by_hospital.setdefault(new.key.hospital, {})[at] = new
    results: dict[int, AddResult] = {}
    for hospital in sorted(by_hospital):
        results |= _add_to_hospital(driver, hospital, by_hospital[hospital])
    return [results[at] for at in range(len(batch))]


def _add_to_hospital(driver: Driver, hospital: str, news: Mapping[int, NewInstance]) -> dict[int, AddResult]:
    """The results, by the positions that `news` has."""
    there = existing(driver, hospital, {new.key.sop_instance_uid for new in news.values()})
    plain = [at for at, new in news.items() if new.succession is None]
    special = [] if len(plain) == len(news) else sorted(news.keys() - plain, key=lambda at: _order(news[at]))
    fresh = _without_row(driver, news, plain, special, there)
    results: dict[int, AddResult] = {}
    asked_for = []
    for at in plain:
        new, first = news[at], fresh.get(news[at].key.sop_instance_uid)
        if first == at:
            results[at] = AddResult(True)
            continue
        was_first = there[new.key.sop_instance_uid] if first is None else _as_existing(news[first])
        results[at] = AddResult(False, was_first)
        if was_first.digest != new.digest and _is_asked_for(driver, new):
            asked_for.append(at)
    concerned = [*fresh.values(), *special, *asked_for]
    if concerned:
        segment_rows = ensure_segments(driver, hospital, (news[at].location.segment for at in concerned))
        counters = Counters(hospital)
        if fresh:
            insert(driver, hospital, [news[at] for _, at in sorted(fresh.items())], segment_rows, counters)
        versions_here = _Versions(driver, segment_rows, counters)
        for at in sorted([*special, *asked_for], key=lambda at: _order(news[at])):
            is_fresh = fresh.get(news[at].key.sop_instance_uid) == at
            results[at] = versions_here.add(news[at], is_fresh=is_fresh)
        stale_values.note_replaced(driver, versions_here.replaced)
        counters.write(driver, _now_us())
    return results


def _order(new: NewInstance) -> tuple[str, bool, int, str]:
    """In which all write the versions of what they hold."""
    return new.key.sop_instance_uid, new.succession is not None, *_age(new)


def _without_row(
    driver: Driver, news: Mapping[int, NewInstance], plain: Iterable[int], special: Iterable[int], there: Container[str]
) -> dict[str, int]:
    """Positions of those that become instances that were not there, by UID."""
    fresh: dict[str, int] = {}
    for at in plain:
        if news[at].key.sop_instance_uid not in there:
            fresh.setdefault(news[at].key.sop_instance_uid, at)
    for at in special:
        new, uid = news[at], news[at].key.sop_instance_uid
        if uid in there or uid in fresh or (new.succession is not None and new.succession.is_original):
            continue
        known = _known(driver, new)
        if known is None or not known.is_kept:
            fresh[uid] = at
    return fresh


def _is_asked_for(driver: Driver, new: NewInstance) -> bool:
    """Whether a later version names these bytes, which were not there."""
    known = _known(driver, new)
    return known is not None and known.segment_row is None


def earlier(driver: Driver, hospital: str, sop_instance_uid: str) -> list[EarlierVersion]:
    """All versions but the served one, in the order received."""
    return [
        EarlierVersion(
            digest=bytes(digest).hex(),
            transfer_syntax_uid=syntax,
            location=None if segment is None else Location(segment, *place),
            received_at=row_values.moment(received),
            superseded_at=row_values.moment(superseded),
            reason=Superseded(reason),
        )
        for digest, syntax, segment, *place, received, superseded, reason in driver.rows(
            _EARLIER, {"hospital": hospital, "uid": sop_instance_uid}
        )
    ]


def is_kept(driver: Driver, hospital: str, sop_instance_uid: str, digest: str, transfer_syntax_uid: str) -> bool:
    """Whether these bytes have a place and a row here, also as an original whose coerced version is not there yet."""
    asked = {"hospital": hospital, "uid": sop_instance_uid, "digest": bytes.fromhex(digest)}
    return any(syntax == transfer_syntax_uid for (syntax,) in driver.rows(_WITH_BYTES, asked))


class _Current(NamedTuple):
    """The row that is served."""

    row: int
    digest: bytes
    transfer_syntax_uid: str
    segment_row: int
    offset: int
    length: int
    data_set_offset: int
    received_at_us: int
    sop_class_uid: str
    series_row: int
    study_row: int
    series_instance_uid: str
    study_instance_uid: str


class _Known(NamedTuple):
    """The row of an earlier version with one digest."""

    row: int
    segment_row: int | None
    offset: int
    length: int
    superseded_at_us: int

    @property
    def is_named(self) -> bool:
        """Whether a later version names it; before that the original of a coercion is of no instance."""
        return self.superseded_at_us > 0

    @property
    def is_kept(self) -> bool:
        """Whether it is that of an instance, and has its bytes."""
        return self.segment_row is not None and self.is_named


class _Versions:
    """Writes versions of one hospital, in `_order`, behind its new instances and before the counters."""

    def __init__(self, driver: Driver, segment_rows: Mapping[str, int], counters: Counters) -> None:
        self._driver = driver
        self._segment_rows = segment_rows
        self._counters = counters
        self.replaced: list[Mapping[Level, int]] = []
        """Rows of instances that have other bytes now, and those above them."""

    def add(self, new: NewInstance, *, is_fresh: bool) -> AddResult:
        """`new` succeeds another, or has its row already (`is_fresh`), or was asked for."""
        if is_fresh:
            self._expect(new)
            return AddResult(True)
        current, known = _current(self._driver, new), _known(self._driver, new)
        if new.succession is None:
            if known is None or known.segment_row is not None:
                raise RowsGone  # another gave it what was asked for
            self._keep(new, known, current, Superseded.REPLACED)
            return AddResult(True)
        if current is not None and bytes(current.digest).hex() == new.digest:
            return AddResult(False, _existing(new, current))
        if known is not None and known.is_kept:
            if (known.segment_row, known.offset) == (self._segment_row(new), new.location.offset):
                return AddResult(True)
            return AddResult(False, _as_existing(new))
        if new.succession.is_original:
            self._keep(new, known, current, Superseded.COERCED)
            return AddResult(True)
        if current is None:
            raise RowsGone  # it was there when we looked
        if (current.study_instance_uid, current.series_instance_uid, current.sop_class_uid) != (
            new.key.study_instance_uid,
            new.key.series_instance_uid,
            new.sop_class_uid,
        ):
            return AddResult(False, _existing(new, current))
        digest = bytes(current.digest).hex()
        if digest in new.succession.replaces or _age(new) > (current.received_at_us, digest):
            self._replace(new, current)
        else:
            self._keep(new, known, current, Superseded.REPLACED)
        self._expect(new)
        return AddResult(True)

    def _keep(self, new: NewInstance, known: _Known | None, current: _Current | None, reason: Superseded) -> None:
        """`new` becomes an earlier version at once."""
        superseded_at_us = 0 if reason is Superseded.COERCED else current.received_at_us if current is not None else 0
        if known is not None and known.is_named:
            superseded_at_us = known.superseded_at_us
        segment_row = self._segment_row(new)
        values = {
            "transfer_syntax_uid": new.transfer_syntax_uid,
            "segment_row": segment_row,
            "offset": new.location.offset,
            "length": new.location.length,
            "data_set_offset": new.location.data_set_offset,
            "received_at_us": new.received_at_us or _now_us(),
            "superseded_at_us": superseded_at_us,
            "reason": reason,
        }
        self._write(new, new.digest, known, values)
        if current is not None and superseded_at_us:
            self._counters.note_version(current.series_row, new.location.length)
        self._counters.note_place(segment_row, new.location)

    def _replace(self, new: NewInstance, current: _Current) -> None:
        """`new` takes the place of `current`, which becomes an earlier version."""
        demoted = {
            "transfer_syntax_uid": current.transfer_syntax_uid,
            "segment_row": current.segment_row,
            "offset": current.offset,
            "length": current.length,
            "data_set_offset": current.data_set_offset,
            "received_at_us": current.received_at_us,
            "superseded_at_us": new.received_at_us,
            "reason": Superseded.REPLACED,
        }
        digest = bytes(current.digest).hex()
        self._write(new, digest, _known(self._driver, new, digest), demoted)
        segment_row = self._segment_row(new)
        columns = row_values.instance_columns(new, new.received_at_us) | {"segment_row": segment_row}
        values = {"row": current.row} | {f"new_{name}": columns[name] for name in _REPLACED_COLUMNS}
        self._driver.run(_REPLACE, [values])
        self.replaced.append(
            {Level.IMAGE: current.row, Level.SERIES: current.series_row, Level.STUDY: current.study_row}
        )
        self._counters.note_version(current.series_row, new.location.length)
        self._counters.note_place(segment_row, new.location)

    def _expect(self, new: NewInstance) -> None:
        """Note that `new` names earlier versions; of those that are not known the records may follow."""
        current = _current(self._driver, new)
        for digest in new.succession.replaces if new.succession is not None else ():
            known = _known(self._driver, new, digest)
            if current is None or bytes(current.digest).hex() == digest or (known is not None and known.is_named):
                continue
            if known is not None:
                self._driver.run(_NAME, [{"row": known.row, "at": new.received_at_us}])
                self._counters.note_version(current.series_row, known.length)
                continue
            unknown = {
                "transfer_syntax_uid": "",
                "segment_row": None,
                "offset": 0,
                "length": 0,
                "data_set_offset": 0,
                "received_at_us": 0,
                "superseded_at_us": new.received_at_us,
                "reason": Superseded.REPLACED,
            }
            self._write(new, digest, None, unknown)

    def _write(self, new: NewInstance, digest: str, known: _Known | None, values: dict[str, Any]) -> None:
        """The row of the version with this digest."""
        if known is None:
            identity = {"hospital": new.key.hospital, "sop_instance_uid": new.key.sop_instance_uid}
            self._driver.run(_INSERT, [identity | {"digest": bytes.fromhex(digest)} | values])
        else:
            filled = {f"new_{name}": value for name, value in values.items()}
            self._driver.run(_FILL, [{"row": known.row} | filled])

    def _segment_row(self, new: NewInstance) -> int:
        return self._segment_rows[new.location.segment]


def _age(new: NewInstance) -> tuple[int, str]:
    return new.received_at_us, new.digest


def _existing(new: NewInstance, current: _Current) -> Existing:
    key = InstanceKey(
        new.key.hospital, current.study_instance_uid, current.series_instance_uid, new.key.sop_instance_uid
    )
    return Existing(key, bytes(current.digest).hex(), current.transfer_syntax_uid)


def _current(driver: Driver, new: NewInstance) -> _Current | None:
    found = driver.rows(_CURRENT, {"hospital": new.key.hospital, "uid": new.key.sop_instance_uid})
    return _Current(*found[0]) if found else None


def _known(driver: Driver, new: NewInstance, digest: str = "") -> _Known | None:
    found = driver.rows(
        _KNOWN,
        {
            "hospital": new.key.hospital,
            "uid": new.key.sop_instance_uid,
            "digest": bytes.fromhex(digest or new.digest),
        },
    )
    return _Known(*found[0]) if found else None


def _as_existing(new: NewInstance) -> Existing:
    return Existing(new.key, new.digest, new.transfer_syntax_uid)


def _now_us() -> int:
    return time.time_ns() // 1000


_INSERT = versions.insert().inline()
_FILLED_COLUMNS = (
    "transfer_syntax_uid",
    "segment_row",
    "offset",
    "length",
    "data_set_offset",
    "received_at_us",
    "superseded_at_us",
    "reason",
)
_FILL = (
    update(versions)
    .where(versions.c.id == bindparam("row"))
    .values({name: bindparam(f"new_{name}") for name in _FILLED_COLUMNS})
)
_REPLACED_COLUMNS = tuple(
    column.name
    for column in instances.columns
    if column.name not in {"id", "hospital", "series_row", "sop_instance_uid", "sop_class_uid"}
)
_REPLACE = (
    update(instances)
    .where(instances.c.id == bindparam("row"))
    .values({name: bindparam(f"new_{name}") for name in _REPLACED_COLUMNS})
)
# Held to the end of the transaction, so that two who replace it take turns.
_CURRENT = (
    select(
        instances.c.id,
        instances.c.digest,
        instances.c.transfer_syntax_uid,
        instances.c.segment_row,
        instances.c.offset,
        instances.c.length,
        instances.c.data_set_offset,
        instances.c.stored_at_us,
        instances.c.sop_class_uid,
        instances.c.series_row,
        series.c.study_row,
        series.c.series_instance_uid,
        studies.c.study_instance_uid,
    )
    .join(series, series.c.id == instances.c.series_row)
    .join(studies, studies.c.id == series.c.study_row)
    .where(instances.c.hospital == bindparam("hospital"), instances.c.sop_instance_uid == bindparam("uid"))
    .with_for_update(of=instances)
)
_OF_INSTANCE = (versions.c.hospital == bindparam("hospital"), versions.c.sop_instance_uid == bindparam("uid"))
_KNOWN = select(
    versions.c.id, versions.c.segment_row, versions.c.offset, versions.c.length, versions.c.superseded_at_us
).where(*_OF_INSTANCE, versions.c.digest == bindparam("digest"))
_NAME = update(versions).where(versions.c.id == bindparam("row")).values(superseded_at_us=bindparam("at"))
_WITH_BYTES = select(versions.c.transfer_syntax_uid).where(
    *_OF_INSTANCE, versions.c.digest == bindparam("digest"), versions.c.segment_row.is_not(None)
)
_EARLIER = (
    select(
        versions.c.digest,
        versions.c.transfer_syntax_uid,
        segments.c.name,
        versions.c.offset,
        versions.c.length,
        versions.c.data_set_offset,
        versions.c.received_at_us,
        versions.c.superseded_at_us,
        versions.c.reason,
    )
    .outerjoin(segments, segments.c.id == versions.c.segment_row)
    .where(*_OF_INSTANCE, versions.c.superseded_at_us > 0)
    .order_by(versions.c.received_at_us, versions.c.id)
)
