from __future__ import annotations

from collections.abc import Iterator

import pytest

from pacs.dimse.server import DimseServer
from tests.dimse.served import MemoryIngest, serving


@pytest.fixture
def ingest() -> MemoryIngest:
    return MemoryIngest()


@pytest.fixture
def server(ingest: MemoryIngest) -> Iterator[DimseServer]:
    with serving(ingest) as running:
        yield running
