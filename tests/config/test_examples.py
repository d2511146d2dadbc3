"""The examples in config/ are read by the same code as a hospital's own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacs.settings import load
from pacs.settings_text import as_toml

_EXAMPLES = sorted((Path(__file__).parents[2] / "config").glob("*.toml"))


def test_there_are_examples() -> None:
    assert len(_EXAMPLES) >= 3


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid(example: Path) -> None:
    assert load(example).data


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_shown_as_a_file_that_says_the_same(example: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown.toml"
    shown.write_text(as_toml(load(example)))
    assert load(shown) == load(example)
