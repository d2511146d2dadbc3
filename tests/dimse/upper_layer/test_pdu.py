from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ

from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.items import (
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from pacs.errors import ProtocolViolation
from tests.dimse.upper_layer.bytes_of_peers import AC, RQ

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
FULL = pdu.AssociateRequest(
    "PACS",
    "CT1",
    (
        ProposedContext(1, CT, ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")),
        ProposedContext(255, MR, ("1.2.840.10008.1.2",)),
    ),
    UserInformation(
        16384,
        "1.2.3",
        "SCANNER_1",
        (8, 1),
        (RoleSelection(CT, is_scu=False, is_scp=True),),
        (ExtendedNegotiation(MR, b"\2\0\3\0\0\0"),),
    ),
)


def _body(encoded: bytes) -> memoryview:
    return memoryview(encoded)[pdu.HEADER.size :]


def test_a_request_comes_back_as_it_was() -> None:
    assert pdu.decode_associate_rq(_body(pdu.encode_associate_rq(FULL))) == FULL


def test_an_accept_comes_back_as_it_was() -> None:
    accept = pdu.AssociateAccept(
        "PACS", "CT1", (ContextResult(1, 0, "1.2"), ContextResult(3, 4, "1.2")), FULL.user_information
    )
    assert pdu.decode_associate_ac(_body(pdu.encode_associate_ac(accept))) == accept


def test_pynetdicom_reads_our_request() -> None:
    read = A_ASSOCIATE_RQ()
    read.decode(pdu.encode_associate_rq(FULL))
    assert (read.calling_ae_title, read.called_ae_title) == ("CT1", "PACS")
    assert [context.context_id for context in read.presentation_context] == [1, 255]
    assert read.user_information is not None
    assert read.user_information.maximum_length == 16384
    assert read.encode() == pdu.encode_associate_rq(FULL)


def test_pynetdicom_reads_our_answers() -> None:
    read = A_ASSOCIATE_AC()
    read.decode(AC)
    assert read.presentation_context[0].result == 0
    rejected = A_ASSOCIATE_RJ()
    rejected.decode(pdu.encode_associate_rj(pdu.LOCAL_LIMIT_EXCEEDED))
    assert (rejected.result, rejected.source, rejected.reason_diagnostic) == (2, 3, 2)


def test_padding_of_titles_and_uids_means_nothing() -> None:
    encoded = bytearray(RQ)
    encoded[26:42] = b"  CT1".ljust(16, b"\0")
    assert pdu.decode_associate_rq(_body(bytes(encoded))).calling_ae_title == "CT1"


def _with(contexts: tuple[ProposedContext, ...]) -> bytes:
    return pdu.encode_associate_rq(pdu.AssociateRequest("PACS", "CT1", contexts, FULL.user_information))


@pytest.mark.parametrize(
    ("encoded", "complaint"),
    [
        (RQ[:20], "at least 68"),
        (RQ[:-3], "left"),
        (_with(()), "without application context"),
        (_with((ProposedContext(2, CT, ("1.2",)),)), "is even"),
        (_with((ProposedContext(1, CT, ("1.2",)),) * 2), "stands twice"),
        (_with((ProposedContext(1, "1" * 80, ("1.2",)),)), "UID of 80 bytes"),
    ],
)
def test_what_cannot_be_read_is_a_protocol_violation(encoded: bytes, complaint: str) -> None:
    with pytest.raises(ProtocolViolation) as refused:
        pdu.decode_associate_rq(_body(encoded))
    assert complaint in str(refused.value)


@given(st.integers(0, len(RQ) - 1), st.binary(min_size=1, max_size=8))
def test_a_changed_request_is_read_or_refused(at: int, change: bytes) -> None:
    encoded = bytearray(RQ)
    encoded[at : at + len(change)] = change
    try:
        read = pdu.decode_associate_rq(_body(bytes(encoded)))
    except ProtocolViolation:
        return
    context_ids = [context.context_id for context in read.contexts]
    assert context_ids
    assert len(set(context_ids)) == len(context_ids)
    assert all(context_id % 2 for context_id in context_ids)
    with contextlib.suppress(UnicodeEncodeError):  # no UID that is written here has more than ASCII
        assert pdu.decode_associate_rq(_body(pdu.encode_associate_rq(read))) == read


_UIDS = st.from_regex(r"[1-9][0-9]{0,5}(\.[1-9][0-9]{0,5}){1,7}", fullmatch=True)
_TITLES = st.from_regex(r"[A-Z0-9_]{1,16}", fullmatch=True)


@given(
    st.builds(
        pdu.AssociateRequest,
        _TITLES,
        _TITLES,
        st.lists(_UIDS, min_size=1, max_size=20).map(
            lambda uids: tuple(ProposedContext(2 * n + 1, uid, (uid, "1.2")) for n, uid in enumerate(uids))
        ),
        st.builds(
            UserInformation,
            st.integers(0, 0xFFFFFFFF),
            _UIDS,
            _TITLES,
            st.none() | st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)),
            st.lists(st.builds(RoleSelection, _UIDS, st.booleans(), st.booleans()), max_size=5).map(tuple),
            st.lists(st.builds(ExtendedNegotiation, _UIDS, st.binary(max_size=10)), max_size=5).map(tuple),
        ),
    )
)
def test_any_request_comes_back_as_it_was(request: pdu.AssociateRequest) -> None:
    assert pdu.decode_associate_rq(_body(pdu.encode_associate_rq(request))) == request
