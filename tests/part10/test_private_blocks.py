from __future__ import annotations

import pytest

from pacs.part10.private_blocks import creator_tag, is_creator


@pytest.mark.parametrize(
    ("tag", "creator"),
    [
        (0x00431010, 0x00430010),
        (0x0043FF01, 0x004300FF),
        (0x00430010, None),
        (0x00430FFF, None),
        (0x00101010, None),
    ],
)
def test_creator_of_a_block(tag: int, creator: int | None) -> None:
    assert creator_tag(tag) == creator


def test_creators() -> None:
    assert [is_creator(tag) for tag in (0x00430010, 0x004300FF, 0x0043000F, 0x00430100, 0x00420010)] == [
        True,
        True,
        False,
        False,
        False,
    ]
