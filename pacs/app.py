"""Composition root: settings -> stores, index, services, doors. Start and stop order stand here and nowhere else."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pacs.access.application_entities import ApplicationEntities
from pacs.attributes import Attributes
from pacs.commitment import Commitment
from pacs.decoding.workers import Workers
from pacs.deletions import Deletions
from pacs.dimse.commitment_reports import CommitmentReports
from pacs.dimse.scp.commitment import STORAGE_COMMITMENT, StorageCommitment
from pacs.dimse.scp.information_model import FIND_MODELS, GET_MODELS, MOVE_MODELS
from pacs.dimse.scp.query import QueryService
from pacs.dimse.scp.retrieval import Listings
from pacs.dimse.scp.retrieve_get import RetrieveGet
from pacs.dimse.scp.retrieve_move import RetrieveMove
from pacs.dimse.scp.service import Service
from pacs.dimse.scp.storage import Storage
from pacs.dimse.scp.verification import VERIFICATION, Verification
from pacs.dimse.scu import Destinations
from pacs.dimse.server import DimseServer
from pacs.dimse.tls import server_context
from pacs.index import Index
from pacs.ingest import Ingest
from pacs.ingest.coercion_rules import rules
from pacs.lifecycle import Lifecycle
from pacs.measured.counts import Counts
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.settings import Settings
from pacs.storage.derived import FRAMES, DerivedStore
from pacs.storage.segments import SegmentStore
from pacs.worklist.service import Worklist

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@dataclass(frozen=True)
class Archive:
    """The services of one process, put together."""

    settings: Settings
    index: Index
    store: SegmentStore
    derived: DerivedStore
    decoding: Workers
    ingest: Ingest
    search: Search
    retrieve: Retrieve
    commitment: Commitment
    lifecycle: Lifecycle
    attributes: Attributes
    worklist: Worklist
    deletions: Deletions
    counts: Counts

    def close(self) -> None:
        """Finish what was accepted, then let go of files and connections, in that order."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.index.close)
            stack.callback(self.store.close)
            stack.callback(self.ingest.close)
            stack.callback(self.decoding.close)


def check(settings: Settings) -> None:
    """Look at everything that the settings only name: certificates, keys, addresses of peers.

    Raises:
        pacs.settings.InvalidSettings: names the key and what is wrong with what it names.
    """
    ApplicationEntities(settings.dicom)
    server_context(settings.dicom)
    Destinations(settings.dicom)
    rules(settings.ingest)


def open_archive(settings: Settings, *, is_prepared: bool = False, counts: Counts | None = None) -> Archive:
    """Open everything under `settings.data`; brings the index up to date and replays what a crash left behind.

    `is_prepared` says that the index was brought up to date by whoever started this process. In `counts` it is told
    what everything takes; without, nobody reads it.

    Raises:
        pacs.errors.StorageError: folder or database cannot be used.
    """
    data: Path = settings.data.resolve()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    index = Index.open(settings.index_url, changes=data / "changes")
    if not is_prepared:
        index.migrate()
    store = SegmentStore(data / "objects")
    derived = DerivedStore(data / "derived")
    derived.sweep()
    decoding = Workers(settings.decoding)
    ingest = Ingest(store, index, settings.ingest, system=settings.dicom.aet)
    ingest.recover()
    deletions = Deletions(index, store, derived, settings.lifecycle)
    deletions.follow_notes()
    index.changes.all_changed()  # whoever ran here before may have ended right after a commit
    return Archive(
        settings=settings,
        index=index,
        store=store,
        derived=derived,
        ingest=ingest,
        search=Search(index, settings.search),
        decoding=decoding,
        retrieve=Retrieve(
            store, index, derived, instances_change=settings.ingest.duplicates == "keep-both", decoding=decoding
        ),
        commitment=Commitment(index, store, settings.commitment),
        lifecycle=Lifecycle(index, store, derived, settings.lifecycle, decoding=decoding),
        attributes=Attributes(index, store),
        worklist=Worklist(index, settings.worklist, settings.search),
        deletions=deletions,
        counts=counts or Counts.alone(),
    )


def dimse_server(archive: Archive, listening: socket.socket) -> DimseServer:
    """The DIMSE door on a socket that listens already; not started yet."""
    settings = archive.settings.dicom
    listings = Listings()
    find, get = QueryService(archive.search, archive.settings.http.public_url), RetrieveGet(archive.retrieve, listings)
    move = RetrieveMove(archive.retrieve, listings, settings.destinations, Destinations(settings).connect)
    services: dict[str, Service] = {
        VERIFICATION: Verification(),
        STORAGE_COMMITMENT: StorageCommitment(archive.commitment),
        **dict.fromkeys(FIND_MODELS, find),
        **dict.fromkeys(MOVE_MODELS, move),
        **dict.fromkeys(GET_MODELS, get),
    }
    identify = ApplicationEntities(settings).identify
    return DimseServer(listening, settings, identify, services, Storage(archive.ingest), archive.counts)


def commitment_reports(archive: Archive) -> CommitmentReports:
    """What tells requesters the results of storage commitment; for the background process."""
    settings = archive.settings.dicom
    return CommitmentReports(archive.commitment, settings.destinations, Destinations(settings).connect)


def web_app(archive: Archive, is_ready: Callable[[], bool]) -> ASGIApp:
    """Everything that is spoken over HTTP: DICOMweb, health, and the viewer's pages."""
    # The other processes must not carry the web stack and the codecs: 60 MB each.
    from fastapi import FastAPI  # noqa: PLC0415
    from starlette.exceptions import HTTPException  # noqa: PLC0415

    from pacs.access.operators import Operators  # noqa: PLC0415
    from pacs.access.web_origins import WebOrigins  # noqa: PLC0415
    from pacs.dicomweb.admission import Admission  # noqa: PLC0415
    from pacs.dicomweb.app import dicomweb_app  # noqa: PLC0415
    from pacs.dicomweb.deletion import add_deletions  # noqa: PLC0415
    from pacs.dicomweb.ups_app import add_worklist  # noqa: PLC0415
    from pacs.measured.pulse import Pulse  # noqa: PLC0415
    from pacs.portal.front import Front  # noqa: PLC0415
    from pacs.portal.gate import Gate  # noqa: PLC0415
    from pacs.portal.health import health_router  # noqa: PLC0415
    from pacs.portal.metrics import metrics_router  # noqa: PLC0415
    from pacs.portal.routes import portal_router, routing_problem  # noqa: PLC0415
    from pacs.portal.timed import Timed  # noqa: PLC0415
    from pacs.transcoding import Transcoding  # noqa: PLC0415

    settings, counts = archive.settings, archive.counts
    transcoding = Transcoding(archive.retrieve, settings.data.resolve() / "derived" / FRAMES, settings.transcoding)
    admission = Admission(counts, settings.budgets)

    @contextlib.asynccontextmanager
    async def beating(_app: FastAPI) -> AsyncIterator[None]:
        Pulse(counts, admission.look).start()
        yield

    portal = FastAPI(title="pacs", docs_url=None, redoc_url=None, openapi_url=None, lifespan=beating)
    door = dicomweb_app(
        archive.ingest,
        archive.search,
        archive.retrieve,
        http=settings.http,
        transcoding=transcoding,
        counts=counts,
        admission=admission,
    )
    add_worklist(door, archive.worklist, http=settings.http)
    add_deletions(door, archive.deletions, http=settings.http)
    operators = Operators(settings.metrics, is_behind_proxy=settings.http.behind_authenticating_proxy)
    portal.add_exception_handler(HTTPException, routing_problem)
    portal.mount("/dicomweb", door)
    portal.include_router(health_router(is_ready))
    portal.include_router(metrics_router(counts.board, settings.budgets, operators))
    portal.include_router(portal_router())
    front = Front(
        Timed(portal, counts),
        "/dicomweb",
        door,
        begin=archive.decoding.start,
        public_url=settings.http.public_url,
    )
    return Gate(front, origins=WebOrigins(settings.http), counts=counts)
