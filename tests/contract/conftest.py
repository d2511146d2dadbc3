"""Every test of this room runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacs.attributes import Attributes
from pacs.index import Index
from pacs.ingest import Ingest
from pacs.settings import IngestSettings
from pacs.storage.segments import SegmentStore
from tests.contract.deleted import Notes
from tests.ingest.small_archive import Place
from tests.real_postgresql import PostgreSQL

NewUrl = Callable[[], str]
_numbers = itertools.count()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def new_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewUrl:
    """Makes an empty database and returns its URL."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("index")
        return lambda: f"sqlite:///{folder / f'index{next(_numbers)}.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")

    def new_database() -> str:
        name = f"index{next(_numbers)}"
        server.execute(f"CREATE DATABASE {name}")
        return server.url(name)

    return new_database


@pytest.fixture
def url(new_url: NewUrl) -> str:
    """An empty database."""
    return new_url()


@pytest.fixture
def index(url: str) -> Iterator[Index]:
    """An index with its tables and no rows."""
    opened = Index.open(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def place(index: Index, tmp_path: Path) -> Iterator[Place]:
    store = SegmentStore(tmp_path / "objects")
    made = Place(store, index, Ingest(store, index, IngestSettings()))
    yield made
    made.ingest.close()
    store.close()


@pytest.fixture
def attributes(place: Place) -> Attributes:
    return Attributes(place.index, place.store)


@pytest.fixture
def notes() -> Notes:
    return Notes()
