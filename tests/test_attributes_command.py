"""`pacs attributes`, as an operator uses it."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from pacs.cli import app


def _run(data: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["attributes", *arguments, "--data", str(data)])
    return done.exit_code, " ".join(done.output.split())


def test_an_attribute_is_added_shown_and_removed(tmp_path: Path) -> None:
    assert _run(tmp_path, "list") == (0, "No further attributes are searchable.")
    assert _run(tmp_path, "add", '"GEMS_PARM_01",(0043,xx10)', "--level", "study")[0] == 0
    assert "already" in _run(tmp_path, "add", '"GEMS_PARM_01",(0043,1010)')[1]
    assert '"GEMS_PARM_01",(0043,xx10) study of 100 % of instances' in _run(tmp_path, "list")[1]
    assert _run(tmp_path, "remove", '"GEMS_PARM_01",(0043,xx10)')[0] == 0
    assert "being removed" in _run(tmp_path, "list")[1]


def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path) -> None:
    assert _run(tmp_path, "add", "Nonsense")[0] == 1
    assert _run(tmp_path, "add", "KVP", "--level", "galaxy")[0] == 1
    assert _run(tmp_path, "remove", "KVP")[0] == 1
