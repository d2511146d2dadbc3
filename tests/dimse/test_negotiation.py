from __future__ import annotations

import time

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom.sop_class import _STORAGE_CLASSES

from pacs.dimse.negotiation import negotiate
from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.items import ExtendedNegotiation, ProposedContext, RoleSelection, UserInformation

ECHO = "1.2.840.10008.1.1"
FIND, MOVE = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2"
COMMITMENT = "1.2.840.10008.1.20.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
PRIVATE = "1.3.6.1.4.1.99999.7"
IMPLICIT, EXPLICIT, BIG, JPEG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
)
SERVICES = {ECHO, FIND}


def _request(*contexts: ProposedContext, **information: object) -> pdu.AssociateRequest:
    return pdu.AssociateRequest("PACS", "CT1", contexts, UserInformation(16384, **information))  # type: ignore[arg-type]


def _results(*contexts: ProposedContext) -> dict[int, tuple[int, str]]:
    accept = negotiate(_request(*contexts), SERVICES, 131072).accept
    return {result.context_id: (result.result, result.transfer_syntax) for result in accept.contexts}


def test_instances_are_taken_in_the_first_transfer_syntax_that_the_peer_prefers() -> None:
    assert _results(ProposedContext(1, CT, (JPEG, EXPLICIT))) == {1: (0, JPEG)}
    assert _results(ProposedContext(1, CT, (BIG, IMPLICIT))) == {1: (0, BIG)}
    assert _results(ProposedContext(1, PRIVATE, ("1.2.3.4",))) == {1: (0, "1.2.3.4")}


def test_every_proposed_context_gets_its_own_answer() -> None:
    assert _results(ProposedContext(1, CT, (JPEG,)), ProposedContext(3, CT, (EXPLICIT,))) == {
        1: (0, JPEG),
        3: (0, EXPLICIT),
    }


def test_identifiers_are_taken_uncompressed_little_endian_only() -> None:
    assert _results(ProposedContext(1, FIND, (BIG, IMPLICIT))) == {1: (0, IMPLICIT)}
    assert _results(ProposedContext(1, FIND, (BIG,)))[1][0] == 4


def test_a_service_that_is_not_offered_is_refused() -> None:
    assert _results(ProposedContext(1, COMMITMENT, (IMPLICIT,)))[1][0] == 3
    assert _results(ProposedContext(1, "../../etc", (IMPLICIT,)))[1][0] == 3


def test_a_context_without_a_usable_transfer_syntax_is_refused() -> None:
    assert _results(ProposedContext(1, CT, ()))[1][0] == 4
    assert _results(ProposedContext(1, CT, ("", "../x")))[1][0] == 4


def test_the_scp_role_makes_us_a_user_of_storage_only() -> None:
    roles = (RoleSelection(CT, is_scu=True, is_scp=True), RoleSelection(FIND, is_scu=True, is_scp=True))
    negotiated = negotiate(
        _request(ProposedContext(1, CT, (EXPLICIT,)), ProposedContext(3, FIND, (EXPLICIT,)), roles=roles),
        SERVICES,
        131072,
    )
    assert negotiated.contexts[1].is_scu
    assert not negotiated.contexts[3].is_scu
    assert negotiated.accept.user_information.roles == (
        RoleSelection(CT, is_scu=True, is_scp=True),
        RoleSelection(FIND, is_scu=True, is_scp=False),
    )


JPEG_LS = "1.2.840.10008.1.2.4.80"


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([(JPEG, EXPLICIT, IMPLICIT)], [EXPLICIT]),
        ([(BIG, IMPLICIT)], [IMPLICIT]),
        ([(JPEG,)], [JPEG]),
        ([(JPEG, JPEG_LS, EXPLICIT), (JPEG_LS, EXPLICIT)], [EXPLICIT, JPEG_LS]),
        ([(JPEG,), (JPEG_LS, EXPLICIT)], [JPEG, EXPLICIT]),
        ([(JPEG_LS, EXPLICIT), (IMPLICIT,)], [JPEG_LS, IMPLICIT]),
        ([("", EXPLICIT), (JPEG,)], [EXPLICIT, JPEG]),
    ],
)
def test_who_receives_gets_one_uncompressed_context_of_each_class(
    offered: list[tuple[str, ...]], taken: list[str]
) -> None:
    contexts = [ProposedContext(2 * n + 1, CT, syntaxes) for n, syntaxes in enumerate(offered)]
    roles = (RoleSelection(CT, is_scu=False, is_scp=True),)
    negotiated = negotiate(_request(*contexts, roles=roles), SERVICES, 131072)
    assert [context.transfer_syntax for context in negotiated.contexts.values()] == taken


def test_roles_nobody_asked_for_are_not_answered() -> None:
    negotiated = negotiate(_request(ProposedContext(1, CT, (EXPLICIT,))), SERVICES, 131072)
    assert negotiated.accept.user_information.roles == ()
    assert not negotiated.contexts[1].is_scu


def test_extended_negotiation_of_storage_says_that_everything_is_kept() -> None:
    extended = (ExtendedNegotiation(CT, b"\0\0\0\0\0\0"), ExtendedNegotiation(FIND, b"\1"))
    accept = negotiate(
        _request(ProposedContext(1, CT, (EXPLICIT,)), ProposedContext(3, FIND, (EXPLICIT,)), extended=extended),
        SERVICES,
        131072,
    ).accept
    assert accept.user_information.extended == (
        ExtendedNegotiation(CT, b"\2\0\3\0\0\0"),
        ExtendedNegotiation(FIND, b"\1"),
    )


def test_extended_negotiation_of_queries_is_kept_with_their_context() -> None:
    extended = (
        ExtendedNegotiation(FIND, b"\1\0\1\1\1\1\1\1"),
        ExtendedNegotiation(FIND, b"\0"),
        ExtendedNegotiation(MOVE, b"\1"),
        ExtendedNegotiation("1.2.3.4", b"\1"),
    )
    request = _request(ProposedContext(1, FIND, (EXPLICIT,)), ProposedContext(3, MOVE, (EXPLICIT,)), extended=extended)
    negotiated = negotiate(request, SERVICES | {MOVE}, 131072)
    assert negotiated.contexts[1].extended == b"\1\0\1\1\0\1\1"
    assert negotiated.contexts[3].extended == b""
    assert negotiated.accept.user_information.extended == (ExtendedNegotiation(FIND, b"\1\0\1\1\0\1\1"),)


@pytest.mark.parametrize(
    ("asked", "roles", "answered"),
    [
        (None, (), None),
        ((1, 1), (), (1, 1)),
        ((8, 8), (), (8, 1)),
        ((0, 0), (), (16, 1)),
        ((65535, 3), (), (16, 1)),
        ((8, 8), (RoleSelection(CT, is_scu=True, is_scp=True),), (1, 1)),
    ],
)
def test_the_operations_window_is_answered_when_asked(
    asked: tuple[int, int] | None, roles: tuple[RoleSelection, ...], answered: tuple[int, int] | None
) -> None:
    request = _request(ProposedContext(1, CT, (EXPLICIT,)), asynchronous_operations=asked, roles=roles)
    assert negotiate(request, SERVICES, 131072).accept.user_information.asynchronous_operations == answered


def test_every_storage_class_in_every_transfer_syntax_is_answered_at_once() -> None:
    syntaxes = tuple(str(uid) for uid in AllTransferSyntaxes)
    classes = [str(uid) for uid in _STORAGE_CLASSES.values()][:128]
    request = _request(*(ProposedContext(2 * n + 1, uid, syntaxes) for n, uid in enumerate(classes)))
    encoded = pdu.encode_associate_rq(request)
    started = time.process_time()
    read = pdu.decode_associate_rq(memoryview(encoded)[6:])
    negotiated = negotiate(read, SERVICES, 131072)
    pdu.encode_associate_ac(negotiated.accept)
    assert len(negotiated.contexts) == 128
    assert time.process_time() - started < 0.5
