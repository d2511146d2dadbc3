from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pynetdicom.dsutils import decode as pynetdicom_decode
from pynetdicom.dsutils import encode as pynetdicom_encode

from pacs.dimse.messages.command import MAX_COMMAND_SET_BYTES, CommandField, CommandSet, Element
from pacs.dimse.messages.command_builders import (
    c_cancel_rq,
    c_echo_rq,
    c_find_rq,
    c_get_rq,
    c_move_rq,
    c_store_rq,
    response_to,
)
from pacs.errors import ProtocolViolation

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"

BUILT = [
    c_echo_rq(1),
    c_store_rq(7, CT, "1.2.3", move_originator_ae_title="MOVER", move_originator_message_id=65535),
    c_find_rq(2, FIND, priority=1),
    c_get_rq(3, FIND),
    c_move_rq(4, FIND, "ELSEWHERE"),
    c_cancel_rq(4),
    response_to(c_store_rq(7, CT, "1.2.3"), 0xA700, error_comment="no room is left"),
    response_to(c_move_rq(4, FIND, "X"), 0xFF00, remaining=3, completed=2, failed=1, warning=0),
    response_to(c_find_rq(4, FIND), 0xFF00, has_data_set=True),
]


@pytest.mark.parametrize("command", BUILT, ids=lambda command: CommandField(command.command_field).name)
def test_a_command_set_comes_back_as_it_was(command: CommandSet) -> None:
    assert CommandSet.decode(command.encode()) == command


@pytest.mark.parametrize("command", BUILT, ids=lambda command: CommandField(command.command_field).name)
def test_pynetdicom_reads_what_we_write(command: CommandSet) -> None:
    read = pynetdicom_decode(BytesIO(command.encode()), True, True)
    assert read.CommandField == command.command_field
    assert read.CommandGroupLength == len(command.encode()) - 12
    assert {element.tag.element for element in read} == {*command, 0}


def test_we_read_what_pynetdicom_writes() -> None:
    written = Dataset()
    written.AffectedSOPClassUID = CT
    written.CommandField = 0x8001
    written.MessageIDBeingRespondedTo = 9
    written.CommandDataSetType = 0x0101
    written.Status = 0xA900
    written.OffendingElement = [0x00080018]
    written.ErrorComment = "odd"
    written.AffectedSOPInstanceUID = "1.2.3"
    encoded = pynetdicom_encode(written, True, True)
    assert encoded is not None
    read = CommandSet.decode(encoded)
    assert read.is_response
    assert not read.has_data_set
    assert (read.message_id_being_responded_to, read.status, read.error_comment) == (9, 0xA900, "odd")
    assert read[Element.OFFENDING_ELEMENT] == (0x00080018,)
    assert (read.affected_sop_class_uid, read.affected_sop_instance_uid) == (CT, "1.2.3")


def test_a_response_answers_its_request_and_names_the_same_instance() -> None:
    response = response_to(c_store_rq(7, CT, "1.2.3"), 0)
    assert response.command_field == CommandField.C_STORE_RSP
    assert response.message_id_being_responded_to == 7
    assert (response.affected_sop_class_uid, response.affected_sop_instance_uid) == (CT, "1.2.3")


def test_counts_that_do_not_fit_are_sent_as_the_largest() -> None:
    assert response_to(c_get_rq(1, FIND), 0xFF00, remaining=70_000).remaining_sub_operations == 65_535


def _element(element: int, value: bytes, *, group: int = 0, length: int | None = None) -> bytes:
    return struct.pack("<HHI", group, element, len(value) if length is None else length) + value


@pytest.mark.parametrize(
    ("encoded", "complaint"),
    [
        (b"\0\0\0", "torn"),
        (_element(0x0100, b"\1\0", length=0xFFFFFFFF), "says 4294967295 bytes"),
        (_element(0x0100, b"\1\0", length=4), "says 4 bytes"),
        (_element(0x0010, b"1", group=0x0010), "(0010,0010)"),
        (_element(0x0100, b"\1\0") * 2, "twice"),
        (_element(0x0100, b"\1\0\0\0"), "a US has 2"),
        (_element(0x0901, b"\1\0"), "no list of tags"),
        (_element(0x1000, b"1" * 70), "at most 64"),
        (b"\0" * (MAX_COMMAND_SET_BYTES + 1), "at most 65536"),
    ],
)
def test_what_cannot_be_read_is_a_protocol_violation(encoded: bytes, complaint: str) -> None:
    with pytest.raises(ProtocolViolation) as refused:
        CommandSet.decode(encoded)
    assert complaint in str(refused.value)


def test_retired_elements_and_a_wrong_group_length_are_read_over() -> None:
    encoded = _element(0, struct.pack("<I", 9999)) + _element(0x0001, b"\0\0\0\0") + _element(0x0100, b"\x30\0")
    assert CommandSet.decode(encoded) == CommandSet({Element.COMMAND_FIELD: 0x30})


def test_a_missing_element_that_the_message_needs_is_named() -> None:
    with pytest.raises(ProtocolViolation, match="MESSAGE_ID"):
        CommandSet({}).message_id  # noqa: B018


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(encoded: bytes) -> None:
    try:
        command = CommandSet.decode(encoded)
    except ProtocolViolation:
        return
    assert CommandSet.decode(command.encode()).keys() <= command.keys()


_NUMBERS = st.integers(0, 0xFFFF)
_UIDS = st.from_regex(r"[1-9][0-9]{0,5}(\.[1-9][0-9]{0,5}){1,7}", fullmatch=True)


@given(
    st.fixed_dictionaries(
        {Element.COMMAND_FIELD: _NUMBERS, Element.COMMAND_DATA_SET_TYPE: _NUMBERS},
        optional={
            Element.AFFECTED_SOP_CLASS_UID: _UIDS,
            Element.MESSAGE_ID: _NUMBERS,
            Element.STATUS: _NUMBERS,
            Element.ERROR_COMMENT: st.from_regex(r"[!-~]([ -~]{0,62}[!-~])?", fullmatch=True),
            Element.ATTRIBUTE_IDENTIFIER_LIST: st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=20).map(tuple),
        },
    )
)
def test_any_command_set_comes_back_as_it_was(values: dict[int, int | str | tuple[int, ...]]) -> None:
    command = CommandSet(values)
    assert CommandSet.decode(command.encode()) == command
