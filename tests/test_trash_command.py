"""`pacs trash`, as an operator uses it."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pacs import cli
from pacs.cli import app
from tests.ingest.small_archive import encoded, open_place


@pytest.fixture
def data(tmp_path: Path) -> Path:
    place = open_place(tmp_path)
    for number in (1, 2):
        place.send(encoded(number))
    place.send(encoded(3, SeriesInstanceUID="1.2.5"))
    place.close()
    return tmp_path


def run(data: Path, *arguments: str) -> tuple[int, str]:
    with patch.object(cli, "_out", Console(width=300)):
        done = CliRunner().invoke(app, ["trash", *arguments, "--data", str(data)])
    return done.exit_code, " ".join(done.output.split())


def instances(data: Path) -> int:
    place = open_place(data)
    try:
        return place.index.holdings("default").instances
    finally:
        place.close()


def test_put_list_restore_erase(data: Path) -> None:
    assert run(data, "list") == (0, "The trash is empty.")
    status, said = run(data, "put", "1.2.1", "--series", "1.2.2", "--reason", "[red]wrong[/red] patient")
    assert status == 0 and said.startswith("2 images are in the trash until ")
    name = said.rpartition(" ")[2]
    assert said.endswith(f"To undo it: pacs trash restore {name}") and instances(data) == 1
    status, said = run(data, "list")
    assert status == 0 and name in said and "series 1.2.2" in said and "[red]wrong[/red] patient" in said
    (one,) = json.loads(CliRunner().invoke(app, ["trash", "list", "--json", "--data", str(data)]).output)
    assert (one["state"], one["instances"], one["from"]) == ("in-trash", 2, "pacs trash")
    status, said = run(data, "restore", name, "--instance", "1.2.3.1")
    assert (status, said) == (0, "1 images are back; 1 stay in the trash.")
    assert run(data, "restore", name) == (0, "1 images are back.") and instances(data) == 3
    assert run(data, "list") == (0, "The trash is empty.")
    assert "restored" in run(data, "list", "--history")[1]
    name = run(data, "put", "1.2.1", "--reason", "x")[1].rpartition(" ")[2]
    assert "when no reader is at it any more" in run(data, "erase", name)[1]
    assert run(data, "erase", name, "--now") == (0, "The archive erases it now.")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("put", "1.9", "--reason", "x"), "nothing is kept of 1.9"),
        (("put", "../1", "--reason", "x"), "is no UID"),
        (("put", "1.2.1", "--reason", " "), "reason"),
        (("put", "1.2.1", "--reason", "a\nb"), "line end"),
        (("put", "1.2.1", "--instance", "1.2.3.1", "--reason", "x"), "--series"),
        (("put", "1.2.1", "--reason", "x", "--hospital", "other"), "nothing is kept"),
        (("restore", "abcdef"), "names 0 deletions"),
        (("erase", "a"), "names 0 deletions"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(data: Path, arguments: tuple[str, ...], why: str) -> None:
    status, said = run(data, *arguments)
    assert status == 1 and why in said and "Traceback" not in said
    assert instances(data) == 3


def test_a_reason_is_wanted(data: Path) -> None:
    assert run(data, "put", "1.2.1")[0] == 2
    assert instances(data) == 3


def test_without_an_archive(tmp_path: Path) -> None:
    status, said = run(tmp_path / "nothing", "list")
    assert status == 1 and "there is no archive" in said and not (tmp_path / "nothing").exists()
