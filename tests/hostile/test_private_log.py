"""What is asked about a patient is shown to who asked, and never to the log."""

from __future__ import annotations

import pytest

from pacs import log
from pacs.dicomweb.http_errors import log_refusal
from pacs.errors import InvalidRequest, NotDicom


@pytest.mark.parametrize("value", ["1980-01-02", "Kim^Minsu", "O'Neil^Mary", "a\"b'c"])
def test_a_query_value_stays_out_of_the_log(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(log, "warning", lambda what, **fields: logged.append(f"{what} {fields}"))
    error = InvalidRequest(f"PatientBirthDate: {value!r} is no date")
    assert value in str(error) or "'" in value
    log_refusal(error, 400, "GET", "/studies")
    assert "PatientBirthDate" in logged[0]
    assert value not in logged[0]
    assert not any(part in logged[0] for part in ("1980", "Minsu", "Mary"))


def test_other_reasons_are_logged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(log, "warning", lambda what, **fields: logged.append(f"{what} {fields}"))
    log_refusal(NotDicom("neither 'DICM' at byte 128"), 400, "POST", "/studies")
    assert "DICM" in logged[0]
