"""Byte streams of peers, valid and damaged, and what the local user does meanwhile, from a seed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random
from typing import Literal

from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.items import (
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from tests.dimse.upper_layer.bytes_of_peers import ABORT, RELEASE_RP, RELEASE_RQ

_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90")
_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{number}" for number in (1, 2, 4, 7, 20, 128))

Local = Literal["release", "respond", "abort", "artim"]


@dataclass(frozen=True)
class Stream:
    """Steps, in order: bytes that arrive, or what the local user or the timer does."""

    is_requestor: bool
    rejects: bool
    """The local user answers a request by rejecting it."""
    answers_release: bool
    """The local user responds to a release as soon as it is asked."""
    steps: tuple[bytes | Local, ...]
    is_damaged: bool


def make_stream(seed: int) -> Stream:
    """The same for the same seed."""
    random = Random(seed)
    is_requestor = random.random() < 0.25
    steps: list[bytes | Local] = []
    if random.random() < 0.9:
        steps.append(_accept(random) if is_requestor else _request(random))
    for _ in range(random.randrange(12)):
        steps += _next(random)
    if random.random() < 0.4:
        random.shuffle(steps)
    is_damaged = random.random() < 0.6
    if is_damaged:
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            wires = [(at, step) for at, step in enumerate(steps) if isinstance(step, bytes) and len(step) > 6]
            if wires:
                at, wire = random.choice(wires)
                steps[at] = _damaged(random, wire)
    return Stream(is_requestor, random.random() < 0.1, random.random() < 0.6, tuple(steps), is_damaged)


def _next(random: Random) -> list[bytes | Local]:
    """One more thing that happens; data most of all."""
    match random.choices(range(8), (10, 2, 2, 2, 1, 1, 1, 1))[0]:
        case 0:
            return [_data(random)]
        case 1:
            return [RELEASE_RQ]
        case 2:
            return [RELEASE_RP]
        case 3:
            # A collision: both ask at the same time (PS3.8 §7.2.2.7).
            return ["release", RELEASE_RQ, *random.choice(((), ("respond",), ("respond", RELEASE_RP)))]
        case 4:
            return [random.choice((ABORT, pdu.encode_abort(pdu.Abort(2, random.randrange(7)))))]
        case 5:
            return [random.choice((_request(random), _accept(random), pdu.encode_associate_rj(pdu.NO_REASON_GIVEN)))]
        case 6:
            return [random.choice(("release", "respond", "abort", "artim"))]
    return [bytes((random.randrange(8, 256), 0)) + struct.pack(">I", 4) + random.randbytes(4)]


def _user_information(random: Random) -> UserInformation:
    roles = tuple(
        RoleSelection(uid, *random.choice(((True, False), (False, True), (True, True))))
        for uid in random.sample(_CLASSES, random.choice((0, 0, 0, 1, 3)))
    )
    extended = tuple(
        ExtendedNegotiation(uid, random.randbytes(random.randrange(1, 7)))
        for uid in random.sample(_CLASSES, random.choice((0, 0, 0, 1, 2)))
    )
    window = random.choice((None, None, (1, 1), (8, 4), (0, 0)))
    size = random.choice((0, 4096, 16382, 131072, 0xFFFFFFFF))
    return UserInformation(size, "1.2.826.0.1.3680043", random.choice(("", "PEER_1")), window, roles, extended)


def _request(random: Random) -> bytes:
    contexts = tuple(
        ProposedContext(2 * number + 1, random.choice(_CLASSES), tuple(random.sample(_SYNTAXES, random.randint(1, 3))))
        for number in range(random.choice((1, 1, 2, 5, 128)))
    )
    calling = random.choice(("CT1", "A LONG TITLE 16C", " X"))
    return pdu.encode_associate_rq(pdu.AssociateRequest("PACS", calling, contexts, _user_information(random)))


def _accept(random: Random) -> bytes:
    contexts = (ContextResult(1, random.choice((0, 0, 0, 3, 4)), random.choice(_SYNTAXES)),)
    return pdu.encode_associate_ac(pdu.AssociateAccept("PACS", "CT1", contexts, _user_information(random)))


def _data(random: Random) -> bytes:
    """A P-DATA-TF of one to three fragments, mostly on the first context."""
    fragments = b""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.randbytes(random.choice((0, 1, 2, 10, 300, 5000)))
        context_id = random.choice((1, 1, 1, 1, 1, 3, 7))
        fragments += pdu.PDV_HEADER.pack(len(content) + 2, context_id, random.choice((0, 1, 2, 3))) + content
    return pdu.HEADER.pack(pdu.PduType.DATA_TF, len(fragments)) + fragments


def _damaged(random: Random, wire: bytes) -> bytes:
    damaged = bytearray(wire)
    match random.randrange(7):
        case 0:  # any byte
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        case 1:  # the header, lengths first of all
            damaged[min(random.choice((0, 1, 2, 3, 4, 5, 5, 5)), len(damaged) - 1)] = random.choice((0, 1, 2, 4, 255))
        case 2:  # a byte near the beginning, where versions, titles and item heads are
            at = random.randrange(min(len(damaged), 120))
            damaged[at] = (damaged[at] + random.choice((-1, 1, 2, 128))) % 256
        case 3:  # shorter, with its length told
            del damaged[random.randrange(6, max(7, len(damaged))) :]
            damaged[2:6] = struct.pack(">I", len(damaged) - 6)
        case 4:  # longer, with its length told
            damaged += random.randbytes(random.randrange(1, 12))
            damaged[2:6] = struct.pack(">I", len(damaged) - 6)
        case 5:  # torn: what follows is read in its place
            del damaged[random.randrange(len(damaged)) :]
        case 6:  # reserved bytes may hold anything (PS3.8 §9.3.1)
            for at in (1, 8, 9) if wire[0] in (1, 2) else (1,):
                damaged[at : at + 1] = random.randbytes(1)
    return bytes(damaged)


def pieces(random: Random, wire: bytes) -> list[bytes]:
    """`wire` as the network may bring it."""
    found = []
    while wire:
        count = random.choice((1, 3, 6, 7, 12, 100, 5000, len(wire)))
        found.append(wire[:count])
        wire = wire[count:]
    return found
