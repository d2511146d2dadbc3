"""What each process of an archive loads: what it does not use costs memory eight times over, and start-up time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pacs.processes.worker import _ROLES

_LOADED = """
import sys
from pacs.processes import worker
from pacs.lean_imports import without_pixel_libraries
with without_pixel_libraries():
    import pacs.app
{more}
print(*sorted(name for name in sys.modules if sys.modules[name] is not None))
"""
WEB = {"fastapi", "starlette", "uvicorn", "pacs.dicomweb.app", "pacs.portal.routes"}
CODECS = {"imagecodecs", "numpy", "PIL", "pylibjpeg", "libjpeg", "openjpeg", "pacs.pixels.decode"}
ONCE = {"alembic", "mako", "psycopg", "typer", "rich"}


def loaded(more: str = "") -> set[str]:
    command = [sys.executable, "-c", _LOADED.format(more=more)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout.split())


def test_the_dimse_and_the_background_process_carry_neither_web_stack_nor_codecs() -> None:
    found = loaded()
    assert {"pacs.dimse.server", "pacs.dimse.commitment_reports", "pacs.lifecycle", "pydicom"} <= found
    assert not found & (WEB | CODECS | ONCE)


def test_the_parent_carries_next_to_nothing() -> None:
    command = [sys.executable, "-c", "import sys, pacs.processes.serving; print(*sys.modules)"]
    found = set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout.split())
    assert "pacs.processes.supervisor" in found
    assert not found & (WEB | CODECS | ONCE | {"sqlalchemy", "pydicom", "pacs.app"})


@pytest.mark.parametrize("module", ["pacs.pixels.transcode", "pacs.pixels.render", "imagecodecs"])
def test_codecs_can_be_loaded_when_they_are_needed(module: str) -> None:
    assert module in loaded(f"import {module}")


def test_control_the_web_stack_is_seen_where_it_is() -> None:
    assert loaded("import pacs.processes.web_server; import pacs.dicomweb.app; import pacs.portal.routes") >= WEB
    assert set(_ROLES) == {"dimse", "web", "background"}
