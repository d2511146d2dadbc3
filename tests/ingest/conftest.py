from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .small_archive import Place, open_place


@pytest.fixture
def open_archive(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Opens the same folder again and again; all are closed at the end."""
    opened: list[Place] = []

    def do(**settings: Any) -> Place:
        opened.append(open_place(tmp_path, **settings))
        return opened[-1]

    yield do
    for place in opened:
        place.close()


@pytest.fixture
def archive(open_archive: Callable[..., Place]) -> Place:
    return open_archive()
