"""The table of the build's files."""

from __future__ import annotations

from pathlib import Path

from pacs.portal.built_files import BuiltFiles


def test_only_files_of_known_kinds_under_the_folder_are_served(tmp_path: Path) -> None:
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<p>")
    (built / "assets" / "a.js").write_text("1")
    (built / "assets" / "a.js.gz").write_bytes(b"packed")
    (built / ".secret").write_text("x")
    (tmp_path / "outside.js").write_text("x")
    files = BuiltFiles(built)
    assert files.get("index.html") is not None
    script = files.get("assets/a.js")
    assert script is not None
    assert script.is_immutable
    assert script.is_compressed_beside
    assert script.compressed_body == b"packed"
    for name in (".secret", "../outside.js", "assets/../../outside.js", "assets", "assets/a.js.gz", ""):
        assert files.get(name) is None, name


def test_a_later_build_is_seen(tmp_path: Path) -> None:
    files = BuiltFiles(tmp_path)
    assert files.get("index.html") is None
    (tmp_path / "index.html").write_text("one")
    first = files.get("index.html")
    assert first is not None
    assert first.body == b"one"
    fresh = tmp_path / "next"
    fresh.write_text("another")
    fresh.replace(tmp_path / "index.html")
    second = files.get("index.html")
    assert second is not None
    assert second.body == b"another"
    assert second.digest != first.digest
