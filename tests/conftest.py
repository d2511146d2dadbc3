"""Fixtures that every room of the tests may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.patience import let_httpx_wait
from tests.real_postgresql import postgresql
from tests.standing_still import pytest_configure, pytest_runtest_protocol

__all__ = ["corpus", "postgresql", "pytest_configure", "pytest_runtest_protocol"]

# `make test` tries the same examples each time, so that red means a change and not luck; `make soak` tries new ones,
# and fuzz tests that do not say otherwise run two hundred times as long.
_HOWEVER_BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
"""A machine that others use, too, is no fault of what is tested."""
settings.register_profile("test", derandomize=True, **_HOWEVER_BUSY)
settings.register_profile("soak", max_examples=20_000, **_HOWEVER_BUSY)
settings.load_profile("soak" if os.environ.get("PACS_SOAK") else "test")

let_httpx_wait()

# pynetdicom installs commands named as dcmtk's: in an activated environment they would be run in their place.
_OURS = Path(sys.executable).parent
os.environ["PATH"] = os.pathsep.join(
    part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(part) != _OURS
)

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real images: `PACS_CORPUS`, or ../shared/data beside the checkout; skipped visibly without it."""
    folder = Path(os.environ.get("PACS_CORPUS", _BESIDE))
    if not (folder / "INDEX.tsv").is_file():
        pytest.skip(f"no real images at {folder}; set PACS_CORPUS to a folder that holds INDEX.tsv")
    return folder
