"""Composition root: settings -> stores, index, services, doors. Start and stop order stand here and nowhere else."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pacs.index import Index
from pacs.ingest import Ingest
from pacs.lifecycle import Lifecycle
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.settings import Settings
from pacs.storage.derived import DerivedStore
from pacs.storage.segments import SegmentStore


@dataclass(frozen=True)
class Archive:
    """The services of one process, put together."""

    settings: Settings
    index: Index
    store: SegmentStore
    derived: DerivedStore
    ingest: Ingest
    search: Search
    retrieve: Retrieve
    lifecycle: Lifecycle

    def close(self) -> None:
        """Finish what was accepted, then let go of files and connections, in that order."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.index.close)
            stack.callback(self.store.close)
            stack.callback(self.ingest.close)


def open_archive(settings: Settings) -> Archive:
    """Open everything under `settings.data`; brings the index up to date and replays what a crash left behind.

    Raises:
        pacs.errors.StorageError: folder or database cannot be used.
    """
    data: Path = settings.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    index = Index.open(settings.index_url)
    index.migrate()
    store = SegmentStore(data / "objects")
    derived = DerivedStore(data / "derived")
    ingest = Ingest(store, index, settings.ingest)
    ingest.recover()
    return Archive(
        settings=settings,
        index=index,
        store=store,
        derived=derived,
        ingest=ingest,
        search=Search(index),
        retrieve=Retrieve(store, index, derived),
        lifecycle=Lifecycle(index, store, derived, settings.lifecycle),
    )
