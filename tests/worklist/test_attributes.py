"""Table CC.2.5-3 as it was written down."""

from __future__ import annotations

import re

from pacs.worklist.attributes import RETURNED, ROWS, key_of, tag_of


def test_every_row_has_codes_of_the_table() -> None:
    for row in ROWS:
        assert re.fullmatch(r"[123]C?/[123]C?e?|-/1|-|x", row.create), row
        assert re.fullmatch(r"[123]C?/[123]C?|-/1|-|x", row.set), row
        assert row.final in ("O", "R", "RC", "P", "X"), row
        assert row.returned in ("1", "2", "3", "1C", "2C", "-"), row


def test_no_row_comes_twice_and_each_lies_in_a_row() -> None:
    paths = [row.path for row in ROWS]
    assert len(set(paths)) == len(paths)
    assert all(path[:-1] in paths for path in paths if len(path) > 1)


def test_some_rows() -> None:
    rows = {row.path: row for row in ROWS}
    performed = tag_of("UnifiedProcedureStepPerformedProcedureSequence")
    assert rows[performed,].create == "2/2e"
    assert rows[performed, tag_of("OutputInformationSequence")].set == "2/2"
    assert [row.keyword for row in ROWS if row.final == "R"] == [
        "SOPClassUID",
        "SOPInstanceUID",
        "ScheduledProcedureStepPriority",
        "ScheduledProcedureStepModificationDateTime",
        "ScheduledProcedureStepStartDateTime",
        "InputReadinessState",
        "ProcedureStepState",
    ]
    assert tag_of("PatientName") in RETURNED
    assert tag_of("TransactionUID") not in RETURNED
    assert key_of("TransactionUID") == "00081195"
