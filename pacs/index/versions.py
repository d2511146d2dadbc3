"""Earlier versions: rows that `instances` had before, and what a coercion started from.

What stands in the tables is decided by the records alone, not by the order in which they are added, so that a rebuilt
index is the lost one: of two versions the one that names the other, else the one received later, is served.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, case, false, select, update

from pacs.index import add as instances_added
from pacs.index import row_values
from pacs.index.add import AddResult, Existing
from pacs.index.driver import Driver
from pacs.index.rows_above import ensure_segments
from pacs.index.tables import instances, segments, series, studies, versions
from pacs.model import EarlierVersion, InstanceKey, Location, NewInstance, Succession, Superseded


def add(driver: Driver, batch: Sequence[NewInstance]) -> list[AddResult]:
    """As `pacs.index.add.add`, which does all of it for a batch of only versions, as almost all are."""
    plain = [new for new in batch if new.succession is None]
    added = iter(_restored(driver, plain, instances_added.add(driver, plain) if plain else []))
    if len(plain) == len(batch):
        return list(added)
    special = {}
    in_order = sorted((new.key.hospital, new.key.sop_instance_uid, *_age(new), at) for at, new in enumerate(batch))
    for *_, at in in_order:
        if batch[at].succession is not None:
            special[at] = _add_one(driver, batch[at])
    return [special[at] if at in special else next(added) for at in range(len(batch))]


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


def _restored(driver: Driver, news: Sequence[NewInstance], results: list[AddResult]) -> list[AddResult]:
    """The results, after bytes that a later version asked for have been given to it."""
    for at, (new, result) in enumerate(zip(news, results, strict=True)):
        if result.existing is None or result.existing.digest == new.digest:
            continue
        known = _known(driver, new)
        if known is not None and known.segment_row is None:
            _keep(driver, new, known, _current(driver, new), Superseded.REPLACED)
            results[at] = AddResult(True)
    return results


def _add_one(driver: Driver, new: NewInstance) -> AddResult:
    succession = new.succession or Succession()
    current, known = _current(driver, new), _known(driver, new)
    if current is not None and bytes(current.digest).hex() == new.digest:
        return AddResult(False, _existing(new, current))
    if known is not None and known.segment_row is not None and known.is_named:
        place = ensure_segments(driver, new.key.hospital, [new.location.segment])[new.location.segment]
        if (known.segment_row, known.offset) == (place, new.location.offset):
            return AddResult(True)
        return AddResult(False, Existing(new.key, new.digest, new.transfer_syntax_uid))
    if succession.is_original:
        _keep(driver, new, known, current, Superseded.COERCED)
        return AddResult(True)
    if current is None:
        (result,) = instances_added.add(driver, [new])
    elif (current.study_instance_uid, current.series_instance_uid, current.sop_class_uid) != (
        new.key.study_instance_uid,
        new.key.series_instance_uid,
        new.sop_class_uid,
    ):
        return AddResult(False, _existing(new, current))
    elif bytes(current.digest).hex() in succession.replaces or _age(new) > (
        current.received_at_us,
        bytes(current.digest).hex(),
    ):
        _replace(driver, new, current)
        result = AddResult(True)
    else:
        _keep(driver, new, known, current, Superseded.REPLACED)
        result = AddResult(True)
    _expect(driver, new, succession)
    return result


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


def _keep(driver: Driver, new: NewInstance, known: _Known | None, current: _Current | None, reason: Superseded) -> None:
    """`new` becomes an earlier version at once."""
    segment_row = ensure_segments(driver, new.key.hospital, [new.location.segment])[new.location.segment]
    superseded_at_us = 0 if reason is Superseded.COERCED else current.received_at_us if current is not None else 0
    if known is not None and known.is_named:
        superseded_at_us = known.superseded_at_us
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
    if known is None:
        driver.run(_INSERT, [_named(new) | {"digest": bytes.fromhex(new.digest)} | values])
    else:
        _fill(driver, known, values)
    if current is not None and superseded_at_us:
        _grow(driver, current.series_row, new.location.length)
    _extend(driver, segment_row, new.location)


def _replace(driver: Driver, new: NewInstance, current: _Current) -> None:
    """`new` takes the place of `current`, which becomes an earlier version."""
    segment_row = ensure_segments(driver, new.key.hospital, [new.location.segment])[new.location.segment]
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
    known = _known(driver, new, bytes(current.digest).hex())
    if known is None:
        driver.run(_INSERT, [_named(new) | {"digest": bytes(current.digest)} | demoted])
    else:
        _fill(driver, known, demoted)
    columns = row_values.instance_columns(new, new.received_at_us) | {"segment_row": segment_row}
    driver.run(_REPLACE, [{"row": current.row} | {f"new_{name}": columns[name] for name in _REPLACED_COLUMNS}])
    _grow(driver, current.series_row, new.location.length)
    _extend(driver, segment_row, new.location)


def _expect(driver: Driver, new: NewInstance, succession: Succession) -> None:
    """Note that `new` names earlier versions; of those that are not known the records may follow."""
    current = _current(driver, new)
    for digest in succession.replaces:
        known = _known(driver, new, digest)
        if current is None or bytes(current.digest).hex() == digest or (known is not None and known.is_named):
            continue
        if known is not None:
            driver.run(_NAME, [{"row": known.row, "at": new.received_at_us}])
            _grow(driver, current.series_row, known.length)
            continue
        unknown = {
            "digest": bytes.fromhex(digest),
            "transfer_syntax_uid": "",
            "segment_row": None,
            "offset": 0,
            "length": 0,
            "data_set_offset": 0,
            "received_at_us": 0,
            "superseded_at_us": new.received_at_us,
            "reason": Superseded.REPLACED,
        }
        driver.run(_INSERT, [_named(new) | unknown])


def _fill(driver: Driver, known: _Known, values: dict[str, Any]) -> None:
    driver.run(_FILL, [{"row": known.row} | {f"new_{name}": value for name, value in values.items()}])


def _grow(driver: Driver, series_row: int, more_bytes: int) -> None:
    """No instance more: bytes only, and the series is to be settled again."""
    driver.run(_GROW_SERIES, [{"row": series_row, "more_bytes": more_bytes, "now": _now_us()}])


def _extend(driver: Driver, segment_row: int, location: Location) -> None:
    driver.run(_EXTEND_SEGMENT, [{"row": segment_row, "end": location.offset + location.length}])


def _named(new: NewInstance) -> dict[str, Any]:
    return {"hospital": new.key.hospital, "sop_instance_uid": new.key.sop_instance_uid}


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
_GROW_SERIES = (
    update(series)
    .where(series.c.id == bindparam("row"))
    .values(
        stored_bytes=series.c.stored_bytes + bindparam("more_bytes"),
        last_stored_at_us=bindparam("now"),
        is_settled=false(),
    )
)
_EXTEND_SEGMENT = (
    update(segments)
    .where(segments.c.id == bindparam("row"))
    .values(end_offset=case((segments.c.end_offset < bindparam("end"), bindparam("end")), else_=segments.c.end_offset))
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
