"""What an acceptor answers to a proposal (PS3.8 §7.1.1, PS3.7 Annex D): a pure function."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pacs.dimse.scp.information_model import FIND_MODELS
from pacs.dimse.scp.query_extensions import accepted_extensions
from pacs.dimse.scp.service import PresentationContext
from pacs.dimse.scp.storage_classes import is_storage_class
from pacs.dimse.upper_layer.items import (
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from pacs.dimse.upper_layer.pdu import AssociateAccept, AssociateRequest
from pacs.errors import InvalidIdentity
from pacs.model import checked_uid
from pacs.part10.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

SERVICE_TRANSFER_SYNTAXES = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN})
"""What identifiers and other data sets of services come in, and what instances can be decoded to; they come in any."""

_ACCEPTANCE, _ABSTRACT_SYNTAX_NOT_SUPPORTED, _TRANSFER_SYNTAXES_NOT_SUPPORTED = 0, 3, 4
MAX_OPERATIONS = 16
"""Requests of one peer that may be open: they wait, mostly unread, so they cost nothing; a line of 100 ms is filled."""
_STORAGE_INFORMATION = bytes((2, 0, 3, 0, 0, 0))
"""Level 2 (every attribute is kept), signatures stay as they are, no coercion (PS3.4 B.3.1)."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    accept: AssociateAccept
    contexts: Mapping[int, PresentationContext]
    """The accepted ones."""


def negotiate(request: AssociateRequest, services: Collection[str], max_pdu_length: int) -> Negotiated:
    """Answer every proposed context and role.

    Of a context's transfer syntaxes the first that can be taken is accepted: the order is the peer's preference, and
    instances are kept in any. Where the peer is to receive (C-GET), one context of each SOP class is uncompressed if it
    offers that anywhere: what is asked for is not known yet, and one compressed choice would keep back all that is
    stored otherwise. `services` are the abstract syntaxes answered beside storage.
    """
    proposed_roles = {role.sop_class_uid: role for role in request.user_information.roles}
    uncompressed = _contexts_to_take_uncompressed(
        [context for context in request.contexts if _is_received_by_peer(context, proposed_roles, services)]
    )
    results: list[ContextResult] = []
    contexts: dict[int, PresentationContext] = {}
    roles: dict[str, RoleSelection] = {}
    extended = _extended(request.user_information.extended, services)
    for proposed in request.contexts:
        result = uncompressed.get(proposed.context_id) or _answer(proposed, services)
        results.append(result)
        if result.result != _ACCEPTANCE:
            continue
        role = proposed_roles.get(proposed.abstract_syntax)
        is_storage = proposed.abstract_syntax not in services
        if role is not None:
            roles[role.sop_class_uid] = RoleSelection(role.sop_class_uid, role.is_scu, role.is_scp and is_storage)
        contexts[proposed.context_id] = PresentationContext(
            proposed.context_id,
            proposed.abstract_syntax,
            result.transfer_syntax,
            is_scu=role is not None and role.is_scp and is_storage,
            extended=extended.get(proposed.abstract_syntax, b""),
        )
    asked = request.user_information.asynchronous_operations
    accepted = {context.abstract_syntax for context in contexts.values()}
    information = UserInformation(
        max_pdu_length=max_pdu_length,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        asynchronous_operations=None if asked is None else _operations(asked, contexts.values()),
        roles=tuple(roles.values()),
        extended=tuple(ExtendedNegotiation(uid, said) for uid, said in extended.items() if uid in accepted),
    )
    accept = AssociateAccept(request.called_ae_title, request.calling_ae_title, tuple(results), information)
    return Negotiated(accept, contexts)


def _extended(asked: Iterable[ExtendedNegotiation], services: Collection[str]) -> dict[str, bytes]:
    """What is said by SOP class; the first item of a class counts (PS3.7 D.3.3.5)."""
    said: dict[str, bytes] = {}
    for item in asked:
        if item.sop_class_uid not in services:
            said.setdefault(item.sop_class_uid, _STORAGE_INFORMATION)
        elif item.sop_class_uid in FIND_MODELS:
            said.setdefault(item.sop_class_uid, accepted_extensions(item.information))
        # Retrieval offers no more than the baseline, and says so by silence (PS3.4 C.5.2.1, C.5.3.1).
    return said


def _operations(asked: tuple[int, int], contexts: Iterable[PresentationContext]) -> tuple[int, int]:
    """How many operations the peer may have open, and we (PS3.7 D.3.3.3); 0 asks for as many as can be had.

    We have one. So has a peer that is to receive instances on this association: what it asks meanwhile would stand,
    with its data set, in front of the responses that we wait for.
    """
    most = 1 if any(context.is_scu for context in contexts) else MAX_OPERATIONS
    return min(asked[0] or most, most), 1


def _is_received_by_peer(
    proposed: ProposedContext, roles: Mapping[str, RoleSelection], services: Collection[str]
) -> bool:
    role = roles.get(proposed.abstract_syntax)
    is_receiver = role is not None and role.is_scp and proposed.abstract_syntax not in services
    return is_receiver and is_storage_class(proposed.abstract_syntax)


def _contexts_to_take_uncompressed(proposed: Iterable[ProposedContext]) -> dict[int, ContextResult]:
    """By context ID, at most one of each SOP class; none of a class that gets an uncompressed context anyway."""
    of_class: dict[str, list[ProposedContext]] = {}
    for context in proposed:
        of_class.setdefault(context.abstract_syntax, []).append(context)
    taken: dict[int, ContextResult] = {}
    for contexts in of_class.values():
        if any(_first_uncompressed(context.transfer_syntaxes[:1]) for context in contexts):
            continue
        for context in contexts:
            transfer_syntax = _first_uncompressed(context.transfer_syntaxes)
            if transfer_syntax is not None:
                taken[context.context_id] = ContextResult(context.context_id, _ACCEPTANCE, transfer_syntax)
                break
    return taken


def _first_uncompressed(transfer_syntaxes: Iterable[str]) -> str | None:
    return next((uid for uid in transfer_syntaxes if uid in SERVICE_TRANSFER_SYNTAXES), None)


def _answer(proposed: ProposedContext, services: Collection[str]) -> ContextResult:
    if proposed.abstract_syntax in services:
        taken = _first_uncompressed(proposed.transfer_syntaxes)
    elif is_storage_class(proposed.abstract_syntax):
        taken = next((uid for uid in proposed.transfer_syntaxes if _can_be_kept(uid)), None)
    else:
        return ContextResult(proposed.context_id, _ABSTRACT_SYNTAX_NOT_SUPPORTED, IMPLICIT_VR_LITTLE_ENDIAN)
    if taken is None:
        return ContextResult(proposed.context_id, _TRANSFER_SYNTAXES_NOT_SUPPORTED, IMPLICIT_VR_LITTLE_ENDIAN)
    return ContextResult(proposed.context_id, _ACCEPTANCE, taken)


def _can_be_kept(transfer_syntax_uid: str) -> bool:
    try:
        checked_uid(transfer_syntax_uid, "Transfer Syntax")
    except InvalidIdentity:
        return False
    return True
