"""`pacs check`: whether index and images agree, and an index made anew from the images."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pacs.deletions import Deletions
from pacs.errors import StorageError
from pacs.index import Index
from pacs.ingest.consistency import Findings, compare
from pacs.settings import Settings
from pacs.storage.derived import DerivedStore
from pacs.storage.segments import SegmentStore

_NAMED = 20


def run_check(
    settings: Settings, *, repair: bool, with_digests: bool, as_json: bool, out: Console, errors: Console
) -> int:
    """Compare, show progress and what was found; returns the exit status: 0 when all is well.

    Raises:
        StorageError: there is no archive, or its index does not answer.
    """
    root = settings.data.resolve() / "objects"
    if not root.is_dir():
        raise StorageError(f"there is no archive in {settings.data.resolve()}: it has no folder objects")
    store, index = SegmentStore(root), Index.open(settings.index_url)
    columns = (TextColumn("segments"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        if repair:
            index.migrate()
        with Progress(*columns, console=errors, transient=True) as progress:
            task = progress.add_task("segments", total=len(store.segments()))
            findings = compare(
                store,
                index,
                settings.ingest,
                repair=repair,
                with_digests=with_digests,
                told=lambda: progress.advance(task),
            )
        if repair:
            derived = DerivedStore(settings.data.resolve() / "derived")
            Deletions(index, store, derived, settings.lifecycle).follow_notes()
    finally:
        store.close()
        index.close()
    if as_json:
        out.print_json(json.dumps(asdict(findings) | {"is_sound": findings.is_sound}))
    else:
        _show(findings, out, is_repaired=repair)
    return 0 if findings.is_sound else 1


def _show(findings: Findings, out: Console, *, is_repaired: bool) -> None:
    left = findings.records_without_row - findings.rows_added
    looked_at = f"{findings.segments - findings.in_use:,} of {findings.segments:,}"
    lines = [f"looked at {looked_at} segments, with {findings.records:,} images"]
    if findings.in_use:
        lines.append(f"{findings.in_use:,} segments are being written; to look at them, too, stop the archive first")
    if findings.rows_added:
        lines.append(f"{findings.rows_added:,} rows added")
    if left:
        advice = "the log says why they cannot be indexed" if is_repaired else "add their rows with --repair"
        lines.append(f"{left:,} images are kept but cannot be found: {advice}")
    if findings.missing_segments:
        named = ", ".join(findings.missing_segments[:_NAMED])
        lines.append(f"{len(findings.missing_segments):,} segments are missing; put them back from a copy: {named}")
    if findings.rows_without_bytes:
        lines.append(f"{findings.rows_without_bytes:,} images cannot be read: restore their segments from a copy")
    if findings.damaged_ranges:
        lines.append(f"{findings.damaged_ranges:,} places in segments are damaged: look at the disk")
    if findings.is_sound:
        lines.append("index and images agree" + (", as far as they were looked at" if findings.in_use else ""))
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
