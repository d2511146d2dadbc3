"""The door in memory, without a socket, on a real archive in a passing folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicomweb.served import DoorInMemory, archive_under


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    """One archive per module; each test brings its own UIDs."""
    folder: Path = tmp_path_factory.mktemp("archive")
    with archive_under(folder) as (ingest, search, retrieve):
        yield DoorInMemory(ingest, search, retrieve)
