"""The table has a row for every error, and no answer shows what it should not."""

from __future__ import annotations

import json

import pytest

from pacs import errors
from pacs.dicomweb.http_errors import STATUS, answer_to, status_of


def tree(kind: type[errors.PacsError]) -> set[type[errors.PacsError]]:
    return {kind}.union(*(tree(child) for child in kind.__subclasses__()), set())


def test_every_error_has_its_status() -> None:
    own = {kind for kind in tree(errors.PacsError) if kind.__module__ == "pacs.errors"}
    assert set(STATUS) == own


def test_every_status_is_an_error_with_a_hint() -> None:
    for kind, status in STATUS.items():
        assert 400 <= status <= 599
        got_status, headers, body = answer_to(kind("The value 'x' is wrong"))
        assert got_status == status
        assert headers["content-type"] == "application/json"
        answer = json.loads(body)
        assert answer["error"] == "The value 'x' is wrong"
        assert answer["hint"]


def test_a_later_leaf_takes_its_parents_status() -> None:
    class Newer(errors.NotFound):
        pass

    assert status_of(Newer("gone")) == 404


def test_foreign_errors_do_not_leak() -> None:
    status, _, body = answer_to(ValueError("secret path"))
    assert status == 500
    assert b"secret" not in body


@pytest.mark.parametrize(
    ("error", "seconds"), [(errors.Busy("full", retry_after_s=9), "9"), (errors.IndexUnavailable("x"), "5")]
)
def test_retry_after(error: errors.PacsError, seconds: str) -> None:
    assert answer_to(error)[1]["retry-after"] == seconds
