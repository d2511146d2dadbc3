"""What was deleted, beside the segments: so that a lost index knows it too, and nothing deleted comes back.

One file per deletion, ``<hospital>/deletions/<name>.<state>.json``, for people to read as well. A state follows another
by a new file, made durable before the old one goes; of two the later state counts.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from pacs import log
from pacs.errors import NotFound, StorageError
from pacs.model import Deletion, DeletionState
from pacs.storage.disk import Disk, storage_error
from pacs.storage.segment_name import checked_hospital

_FORM: Final = 1
_NAME: Final = re.compile(r"(?P<name>[0-9a-f]{32})\.(?P<state>[a-z-]{1,20})\.json\Z")
_STATES: Final = {str(state) for state in DeletionState}
_RANK: Final = {state: rank for rank, state in enumerate(DeletionState)}


class DeletedRecord(NamedTuple):
    """The place of one Part 10 file that a deletion names."""

    segment: str
    offset: int
    length: int
    sop_instance_uid: str
    digest: str
    start: int = -1
    """Where its record begins; -1: not looked up yet."""


@dataclass(frozen=True, slots=True)
class Note:
    """One deletion, with all it names now: what was restored is not among it."""

    deletion: Deletion
    records: tuple[DeletedRecord, ...]


class DeletionNotes:
    """Under the segments' root. Thread-safe; of two processes that write one note the last has it. Every method raises
    `pacs.errors.StorageError`."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root = root
        self._disk = disk

    def write(self, note: Note) -> None:
        """Make `note` durable in the place of what was there of this deletion."""
        deletion = note.deletion
        folder = self._folder(deletion.hospital)
        path = folder / f"{deletion.name}.{deletion.state}.json"
        draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}.new")
        try:
            self._disk.make_folder(folder)
            handle = self._disk.create(draft)
            try:
                self._disk.write(handle, [_encoded(note)], 0)
                self._disk.sync(handle)
            finally:
                self._disk.close(handle)
            draft.replace(path)
            self._disk.sync_folder(folder)
            for state in DeletionState:
                if state is not deletion.state:
                    self._disk.unlink(folder / f"{deletion.name}.{state}.json")
        except OSError as problem:
            with contextlib.suppress(OSError):
                self._disk.unlink(draft)
            raise storage_error(problem, "note a deletion") from problem

    def states(self) -> dict[tuple[str, str], DeletionState]:
        """The state of every deletion, by hospital and name; no file is opened."""
        found: dict[tuple[str, str], DeletionState] = {}
        for path in sorted(self._root.glob("*/deletions/*.json")):
            match = _NAME.match(path.name)
            if match is None or match["state"] not in _STATES:
                continue
            key, state = (path.parent.parent.name, match["name"]), DeletionState(match["state"])
            if key not in found or _RANK[state] > _RANK[found[key]]:
                found[key] = state
        return found

    def read(self, hospital: str, name: str, state: DeletionState) -> Note:
        """Raises: NotFound, there is no such; StorageError, it cannot be read."""
        path = self._folder(hospital) / f"{name}.{state}.json"
        try:
            note = _decoded(json.loads(path.read_bytes()))
        except FileNotFoundError as problem:
            raise NotFound(f"there is no note of deletion {name[:40]!r}") from problem
        except OSError as problem:
            raise storage_error(problem, f"read the note of deletion {name}") from problem
        except (ValueError, KeyError, TypeError) as problem:
            raise StorageError(f"the note {path.name} of a deletion is damaged: put it back from a copy") from problem
        if (note.deletion.hospital, note.deletion.name, note.deletion.state) != (hospital, name, state):
            raise StorageError(f"the note {path.name} of a deletion is of another one: put it back from a copy")
        return note

    def fates(self) -> Fates:
        """What was deleted of all hospitals, to be looked at for each record that has no row.

        A note that cannot be read is left out, and the log says so.
        """
        notes = []
        for (hospital, name), state in self.states().items():
            if state is DeletionState.RESTORED:
                continue
            try:
                notes.append(self.read(hospital, name, state))
            except StorageError as problem:
                log.failure("note of a deletion cannot be read", problem, hospital=hospital, deletion=name)
        return Fates(notes)

    def _folder(self, hospital: str) -> Path:
        return self._root / checked_hospital(hospital) / "deletions"


class Fates:
    """Whether records were deleted, and by what."""

    def __init__(self, notes: Sequence[Note]) -> None:
        self._by_place: dict[tuple[str, int], Deletion] = {}
        self._by_content: dict[tuple[str, str, str], Deletion] = {}
        self._ranges: list[tuple[str, int, int]] = []
        for note in notes:
            for record in note.records:
                self._by_place[record.segment, record.offset] = note.deletion
                content = (note.deletion.hospital, record.sop_instance_uid, record.digest)
                before = self._by_content.get(content)
                if before is None or before.deleted_at < note.deletion.deleted_at:
                    self._by_content[content] = note.deletion
                if note.deletion.state in (DeletionState.ERASING, DeletionState.ERASED):
                    first = record.start if record.start >= 0 else record.offset
                    self._ranges.append((record.segment, first, record.offset + record.length))

    def of_place(self, segment: str, offset: int) -> Deletion | None:
        """The deletion that names the file at this place."""
        return self._by_place.get((segment, offset))

    def is_second_copy(self, hospital: str, sop_instance_uid: str, digest: str, received_at: str) -> bool:
        """Whether a record that no deletion names has the bytes of one that was deleted after it came: it never
        became an instance of its own, and is none now."""
        deletion = self._by_content.get((hospital, sop_instance_uid, digest))
        if deletion is None:
            return False
        try:
            return datetime.fromisoformat(received_at) < deletion.deleted_at
        except (ValueError, TypeError):
            return False

    def is_erased(self, segment: str, start: int, end: int) -> bool:
        """Whether a range that is no sound record lies where something is being erased, or was."""
        return any(name == segment and first < end and start < last for name, first, last in self._ranges)


def _encoded(note: Note) -> bytes:
    deletion = note.deletion
    records: dict[str, list[list[object]]] = {}
    for record in note.records:
        entry = [record.offset, record.length, record.sop_instance_uid, record.digest, record.start]
        records.setdefault(record.segment, []).append(list(entry))
    fields: dict[str, object] = {
        "form": _FORM,
        "deletion": deletion.name,
        "state": deletion.state,
        "hospital": deletion.hospital,
        "study": deletion.study_instance_uid,
        "series": deletion.series_instance_uid,
        "instance": deletion.sop_instance_uid,
        "reason": deletion.reason,
        "by": deletion.principal,
        "from": deletion.source,
        "deleted_at": deletion.deleted_at.isoformat(),
        "erase_at": deletion.erase_at.isoformat(),
        "instances": deletion.instances,
        "bytes": deletion.stored_bytes,
        "records": records,
    }
    return json.dumps(fields, indent=1, ensure_ascii=True).encode("ascii")


def _decoded(fields: Mapping[str, Any]) -> Note:
    if fields["form"] != _FORM:
        raise ValueError("written by another version")
    deletion = Deletion(
        name=str(fields["deletion"]),
        hospital=str(fields["hospital"]),
        study_instance_uid=str(fields["study"]),
        series_instance_uid=None if fields["series"] is None else str(fields["series"]),
        sop_instance_uid=None if fields["instance"] is None else str(fields["instance"]),
        reason=str(fields["reason"]),
        principal=str(fields["by"]),
        source=str(fields["from"]),
        deleted_at=datetime.fromisoformat(fields["deleted_at"]).astimezone(UTC),
        erase_at=datetime.fromisoformat(fields["erase_at"]).astimezone(UTC),
        state=DeletionState(fields["state"]),
        instances=int(fields["instances"]),
        stored_bytes=int(fields["bytes"]),
    )
    records = [
        DeletedRecord(str(segment), int(offset), int(length), str(uid), str(digest), int(start))
        for segment, entries in fields["records"].items()
        for offset, length, uid, digest, start in entries
    ]
    return Note(deletion, tuple(records))
