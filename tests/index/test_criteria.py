from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.errors import InvalidRequest
from pacs.index.criteria import satisfies
from pacs.index.keys import MAX_UIDS, criteria
from pacs.model import Level, Match, Query
from tests.index.new_instances import attributes, name


def _query(*matches: Match, is_fuzzy: bool = False) -> Query:
    return Query(Level.STUDY, matches, is_fuzzy=is_fuzzy)


@pytest.mark.parametrize(
    "match",
    [
        Match((0x00100020,)),
        Match((0x00100020,), ("",)),
        Match((0x00100020,), ("  ", "**")),
        Match((0x00100010,), ("^^",)),
        Match((0x0020000D,), ("*",)),
        Match((0x00080052,), ("STUDY",)),
        Match((0x00400275, 0x00400009)),
        Match((0x00400275,)),
    ],
)
def test_universal_keys_are_left_out(match: Match) -> None:
    assert criteria(_query(match)) == []


def test_any_of_many_values_matches() -> None:
    ((tag, criterion),) = criteria(_query(Match((0x00101000,), ("A*", "B"))))
    assert satisfies(attributes(OtherPatientIDs=["x", "B"]), tag, criterion)
    assert satisfies(attributes(OtherPatientIDs=["Ab"]), tag, criterion)
    assert not satisfies(attributes(OtherPatientIDs=["b"]), tag, criterion)
    assert not satisfies({}, tag, criterion)


def test_nested_sequences_are_matched_item_by_item() -> None:
    path = (0x00400275, 0x00400008)
    matches = [Match((*path, 0x00080100), ("X",)), Match((*path, 0x00080102), ("DCM",))]
    ((tag, criterion),) = criteria(_query(*matches))

    def request(*codes: tuple[str, str]) -> dict[str, object]:
        items = [attributes(CodeValue=value, CodingSchemeDesignator=scheme) for value, scheme in codes]
        return attributes(RequestAttributesSequence=[attributes(ScheduledProtocolCodeSequence=items)])  # type: ignore[return-value]

    assert satisfies(request(("X", "DCM")), tag, criterion)  # type: ignore[arg-type]
    assert not satisfies(request(("X", "SCT"), ("Y", "DCM")), tag, criterion)  # type: ignore[arg-type]


def test_a_name_that_is_plain_text_is_no_reason_to_fail() -> None:
    ((tag, criterion),) = criteria(_query(Match((0x00100010,), ("kim*",))))
    assert satisfies({"00100010": {"vr": "PN", "Value": ["Kim^A"]}}, tag, criterion)
    assert not satisfies({"00100010": {"vr": "PN", "Value": [None]}}, tag, criterion)


def test_too_many_uids_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="StudyInstanceUID"):
        criteria(_query(Match((0x0020000D,), ("\\".join(["1.2"] * (MAX_UIDS + 1)),))))


def test_a_message_quotes_no_more_than_a_little() -> None:
    with pytest.raises(InvalidRequest) as raised:
        criteria(_query(Match((0x00080020,), ("x" * 1000,))))
    assert len(str(raised.value)) < 250


_TAGS = st.sampled_from(
    (
        *(0x00100010, 0x00100020, 0x00080020, 0x00080030, 0x0008002A, 0x0020000D, 0x00200011, 0x00280010, 0x00281050),
        *(0x00400275, 0x00091001, 0x7FE00010, 0x00080061, 0x00101010, 0x00000000, 0xFFFFFFFF),
    )
)


@given(
    st.lists(st.builds(Match, st.lists(_TAGS, min_size=1, max_size=3).map(tuple), st.lists(st.text()).map(tuple))),
    st.booleans(),
)
def test_whatever_is_asked_is_understood_or_refused(matches: list[Match], is_fuzzy: bool) -> None:
    try:
        understood = criteria(_query(*matches, is_fuzzy=is_fuzzy))
    except InvalidRequest:
        return
    stored = attributes(
        PatientName=name("a"), PatientID=["1", None], StudyDate="x", Rows="?", WindowCenter=[1.5, None], StudyTime=7
    )
    for tag, criterion in understood:
        assert tag in {match.path[0] for match in matches}
        assert satisfies(stored, tag, criterion) in (True, False)
        assert not satisfies({}, tag, criterion), "an attribute that is absent matches no value"
