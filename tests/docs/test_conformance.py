"""The conformance statement says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import create_autospec

from pacs.dicomweb.app import dicomweb_app
from pacs.dimse.messages.status import TABLE
from pacs.dimse.scp.information_model import FIND_MODELS, GET_MODELS, MOVE_MODELS
from pacs.ingest import Ingest
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.settings import DicomSettings

_PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")


def test_the_routes_are_those_served() -> None:
    app = dicomweb_app(create_autospec(Ingest), create_autospec(Search), create_autospec(Retrieve))
    served = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    assert set(re.findall(r"^\| `((?:GET|POST|DELETE|PUT) [^`]+)` \|", _PAGE, re.MULTILINE)) == served


def test_the_information_models_are_those_served() -> None:
    for line, models in (("C-FIND", FIND_MODELS), ("C-MOVE", MOVE_MODELS), ("C-GET", GET_MODELS)):
        (row,) = re.findall(rf"^\| {line}[^|]*\|([^|]*)\|$", _PAGE, re.MULTILINE)
        assert sorted(re.findall(r"[\d.]+\d", row)) == sorted(models)


def test_the_statuses_of_c_store_are_those_sent() -> None:
    section = _PAGE.partition("### Statuses of C-STORE")[2].partition("###")[0]
    written = {int(code, 16) for code in re.findall(r"^\| (0x[0-9A-F]{4}) \|", section, re.MULTILINE)}
    sent = {int(row.store) for row in TABLE.values()} | {0}
    assert written == sent - {0x0124}, "0x0124 comes with people and grants"


def test_the_figures_are_the_defaults() -> None:
    defaults = DicomSettings()
    assert f"`dicom.max_pdu` ({defaults.max_pdu:,} bytes)" in _PAGE
    assert f"`dicom.max_associations` ({defaults.max_associations})" in _PAGE
    timeouts = (defaults.acse_timeout_s, defaults.data_timeout_s, defaults.idle_timeout_s)
    expected = "association request {:.0f} s, silence inside a message {:.0f} s, silence between messages {:.0f} s"
    assert expected.format(*timeouts) in _PAGE
