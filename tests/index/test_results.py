from __future__ import annotations

from pacs.index.results import chosen, chosen_tags, whole_answer
from tests.index.new_instances import attributes


def test_answers_are_in_order_of_tags_and_hold_what_was_asked() -> None:
    answer = whole_answer(
        attributes(PatientID="1"), attributes(StudyInstanceUID="1.2"), attributes(Rows=5, Modality="CT")
    )
    assert list(chosen(answer, None)) == sorted(answer)
    assert list(chosen(answer, chosen_tags(frozenset({0x00280010}), frozenset()))) == [
        "00080005",
        "00100020",
        "0020000D",
        "00280010",
    ]
    assert chosen_tags(None, frozenset({1})) is None


def test_the_lower_level_wins() -> None:
    assert whole_answer(attributes(Modality="CT"), attributes(Modality="MR"))["00080060"]["Value"] == ["MR"]
