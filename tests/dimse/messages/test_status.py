from __future__ import annotations

import inspect

import pytest

from pacs import errors
from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.status import (
    MAX_COMMENT_CHARACTERS,
    TABLE,
    comment,
    is_failure,
    is_pending,
    is_warning,
    status_of,
)

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.PacsError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_has_its_row(kind: type[errors.PacsError]) -> None:
    assert kind in TABLE


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "request_field",
    [
        CommandField.C_STORE_RQ,
        CommandField.C_FIND_RQ,
        CommandField.C_MOVE_RQ,
        CommandField.C_GET_RQ,
        CommandField.N_ACTION_RQ,
    ],
)
def test_no_error_is_ever_told_as_anything_but_a_failure(kind: type[errors.PacsError], request_field: int) -> None:
    assert is_failure(status_of(kind("x"), request_field))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.IdentityMismatch("x"), 0xA900),
        (errors.MalformedDataSet("x"), 0xC000),
        (errors.InvalidIdentity("x"), 0xC000),
        (errors.StorageFull("x"), 0xA700),
        (errors.IndexUnavailable("x"), 0xA700),
        (errors.TooLarge("x"), 0xA700),
        (errors.TooBroad("x"), 0xA700),
        (errors.Conflict("x"), 0x0111),
        (errors.Refused("x"), 0x0124),
    ],
)
def test_statuses_of_a_store(error: errors.PacsError, status: int) -> None:
    assert status_of(error, CommandField.C_STORE_RQ) == status


@pytest.mark.parametrize("text", ["", "short", "x" * 64, "x" * 65, "back\\slash", "김철수" * 40, "a\r\nb\0"])
def test_a_comment_is_a_valid_lo(text: str) -> None:
    made = comment(text)
    assert len(made) <= MAX_COMMENT_CHARACTERS
    assert made.isascii()
    assert made.isprintable()
    assert "\\" not in made


def test_a_section_of_the_standard_stays_readable() -> None:
    assert comment("no instance (PS3.7 §9.3.1)") == "no instance (PS3.7 9.3.1)"


def test_kinds_of_status() -> None:
    assert is_pending(0xFF00)
    assert is_pending(0xFF01)
    assert is_warning(0xB000)
    assert not any(is_failure(status) for status in (0x0000, 0xFE00, 0xFF00, 0xB006, 0x0107))
    assert all(is_failure(status) for status in (0xA700, 0xC123, 0x0110, 0x0211))
