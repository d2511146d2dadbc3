from __future__ import annotations

from pathlib import Path

import pytest

from pacs.errors import InvalidIdentity, NotFound
from pacs.storage.segment_name import new_segment, segment_path, segments_under


def test_names_differ_and_lead_to_a_file_of_the_hospital(tmp_path: Path) -> None:
    names = {new_segment("default") for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert segment_path(tmp_path, name).parent == tmp_path / "default"


@pytest.mark.parametrize(
    "name", ["", "default", "../" + "0" * 32, "a/b/" + "0" * 32, "a/" + "0" * 32 + "\n", "a/" + "G" * 32]
)
def test_what_is_no_name_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        segment_path(tmp_path, name)
    with pytest.raises(InvalidIdentity):
        new_segment("../x")


def test_only_segments_are_listed(tmp_path: Path) -> None:
    assert segments_under(tmp_path / "none") == []
    name = new_segment("default")
    path = segment_path(tmp_path, name)
    path.parent.mkdir()
    path.write_bytes(b"")
    (path.parent / "notes.tar").write_bytes(b"")
    assert segments_under(tmp_path) == [name]
