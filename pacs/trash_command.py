"""`pacs trash`: what an operator deletes, restores and has erased; the archive may run."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from pacs.deletions import Deletions
from pacs.errors import InvalidRequest, StorageError
from pacs.index import Index
from pacs.model import Deletion, DeletionState, Principal
from pacs.settings import Settings
from pacs.storage.derived import DerivedStore
from pacs.storage.segments import SegmentStore

_AT_ONCE = 1000
_LEAST_NAMED = 6
_STATES = {
    DeletionState.IN_TRASH: "in the trash",
    DeletionState.RESTORED: "restored",
    DeletionState.ERASING: "being erased",
    DeletionState.ERASED: "erased",
}


def put(
    settings: Settings,
    study: str,
    series: str | None,
    instance: str | None,
    *,
    reason: str | None,
    hospital: str,
    out: Console,
) -> None:
    """Delete it. Raises: `pacs.errors.PacsError`, nothing was deleted."""
    if instance is not None and series is None:
        raise InvalidRequest("--instance needs the series it is in: add --series UID")
    with _opened(settings) as deletions:
        done = deletions.delete(_operator(hospital), study, series, instance, reason=reason, source="pacs trash")
    until = done.erase_at.astimezone().strftime("%Y-%m-%d %H:%M")
    out.print(
        f"{done.instances:,} images are in the trash until {until}. To undo it: pacs trash restore {done.name[:12]}",
        highlight=False,
        soft_wrap=True,
    )


def show(settings: Settings, *, hospital: str | None, with_history: bool, as_json: bool, out: Console) -> None:
    """All of it, the newest first. Raises: IndexUnavailable."""
    with _opened(settings) as deletions:
        found = list(_all(deletions, hospital, with_history=with_history))
    if as_json:
        out.print_json(json.dumps([_fields(one) for one in found]))
        return
    if not found:
        out.print("The trash is empty.", highlight=False)
        return
    # Its name is what an operator types: never cut, however narrow the screen is.
    name = Column("Deletion", min_width=12, no_wrap=True)
    table = Table(name, "Deleted", "What", "Images", "State", "Until", "By", "Reason", box=None)
    for one in found:
        what = one.sop_instance_uid or one.series_instance_uid or one.study_instance_uid
        level = "instance" if one.sop_instance_uid else "series" if one.series_instance_uid else "study"
        table.add_row(
            one.name[:12],
            one.deleted_at.astimezone().strftime("%Y-%m-%d %H:%M"),
            f"{level} {what}",
            f"{one.instances:,}",
            _STATES[one.state],
            one.erase_at.astimezone().strftime("%Y-%m-%d"),
            one.principal,
            # Typed by somebody: no markup of ours.
            one.reason.replace("[", r"\["),
        )
    out.print(table, highlight=False)


def restore(
    settings: Settings, name: str, series: str | None, instance: str | None, *, hospital: str, out: Console
) -> None:
    """Undo it. Raises: `pacs.errors.PacsError`, nothing was restored."""
    with _opened(settings) as deletions:
        whole = _named(deletions, hospital, name)
        count, now = deletions.restore(
            _operator(hospital), whole.name, series_instance_uid=series, sop_instance_uid=instance
        )
    left = f"; {now.instances:,} stay in the trash" if now.instances else ""
    out.print(f"{count:,} images are back{left}.", highlight=False)


def erase(settings: Settings, name: str, *, at_once: bool, hospital: str, out: Console) -> None:
    """Have it erased early. Raises: `pacs.errors.PacsError`."""
    with _opened(settings) as deletions:
        whole = _named(deletions, hospital, name)
        changed = deletions.erase_early(_operator(hospital), whole.name, at_once=at_once)
    when = changed.erase_at.astimezone().strftime("%H:%M")
    out.print(
        "The archive erases it now."
        if at_once
        else f"The archive erases it at {when}, when no reader is at it any more.",
        highlight=False,
    )


def _all(deletions: Deletions, hospital: str | None, *, with_history: bool) -> Iterator[Deletion]:
    offset = 0
    while found := deletions.all(hospital, with_history=with_history, limit=_AT_ONCE, offset=offset):
        yield from found
        offset += len(found)


def _named(deletions: Deletions, hospital: str, name: str) -> Deletion:
    """The deletion whose name begins so."""
    fitting = [one for one in _all(deletions, hospital, with_history=True) if one.name.startswith(name.lower())]
    if len(name) < _LEAST_NAMED or len(fitting) != 1:
        raise InvalidRequest(f"{name!r} names {len(fitting)} deletions; `pacs trash list` shows them")
    return fitting[0]


def _operator(hospital: str) -> Principal:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "operator"
    return Principal(name[:64], hospital)


def _fields(one: Deletion) -> dict[str, Any]:
    return {
        "deletion": one.name,
        "hospital": one.hospital,
        "state": one.state.value,
        "study": one.study_instance_uid,
        "series": one.series_instance_uid,
        "instance": one.sop_instance_uid,
        "instances": one.instances,
        "bytes": one.stored_bytes,
        "reason": one.reason,
        "by": one.principal,
        "from": one.source,
        "deleted_at": one.deleted_at.isoformat(),
        "erase_at": one.erase_at.isoformat(),
    }


@contextmanager
def _opened(settings: Settings) -> Iterator[Deletions]:
    data: Path = settings.data.resolve()
    if not (data / "objects").is_dir():
        raise StorageError(f"there is no archive in {data}: it has no folder objects")
    index = Index.open(settings.index_url, changes=data / "changes")
    store = SegmentStore(data / "objects")
    try:
        index.migrate()
        yield Deletions(index, store, DerivedStore(data / "derived"), settings.lifecycle)
    finally:
        store.close()
        index.close()
