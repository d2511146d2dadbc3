"""An empty worklist for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs.index import Index
from tests.worklist.bench import Bench


@pytest.fixture(scope="session")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated index, to be copied: that is quicker than migrating."""
    file = tmp_path_factory.mktemp("empty") / "index.sqlite"
    index = Index.open(f"sqlite:///{file}")
    index.migrate()
    index.close()
    return file


@pytest.fixture
def bench(empty_index: Path, tmp_path: Path) -> Iterator[Bench]:
    file = tmp_path / "index.sqlite"
    shutil.copyfile(empty_index, file)
    index = Index.open(f"sqlite:///{file}")
    yield Bench(index)
    index.close()
