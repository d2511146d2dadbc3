"""Variable items of A-ASSOCIATE PDUs (PS3.8 §9.3.2-9.3.3 and Annex D; PS3.7 Annex D.3.3)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pacs.errors import ProtocolViolation

_ITEM_HEADER = struct.Struct(">BxH")
MAX_UID_BYTES = 64


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """Presentation Context Item of an A-ASSOCIATE-RQ (PS3.8 Table 9-13)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextResult:
    """Presentation Context Item of an A-ASSOCIATE-AC (PS3.8 Table 9-18)."""

    context_id: int
    result: int
    """0 acceptance, 1 user-rejection, 2 no reason, 3 unknown abstract syntax, 4 transfer syntaxes not supported."""
    transfer_syntax: str
    """Not significant when `result` is not 0."""


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """SCP/SCU Role Selection (PS3.7 D.3.3.4): the roles of the association-requestor."""

    sop_class_uid: str
    is_scu: bool
    is_scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """SOP Class Extended Negotiation (PS3.7 D.3.3.5)."""

    sop_class_uid: str
    information: bytes


@dataclass(frozen=True, slots=True)
class UserInformation:
    """User Information Item (PS3.8 D.1, PS3.7 D.3.3). User identity is read over: nothing here acts on it."""

    max_pdu_length: int = 0
    """Bytes of a P-DATA-TF's variable field that the sender of this item takes; 0 is no limit."""
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    asynchronous_operations: tuple[int, int] | None = None
    """Maximum operations (invoked, performed) (PS3.7 D.3.3.3); None when not negotiated."""
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()


def iter_items(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The items that fill `body`, as (type, content).

    Raises:
        ProtocolViolation: an item longer than what is left.
    """
    position = 0
    while position < len(body):
        left = len(body) - position
        if left < _ITEM_HEADER.size:
            raise ProtocolViolation(f"{left} bytes are left where an item's header should be (PS3.8 §9.3.1)")
        kind, length = _ITEM_HEADER.unpack_from(body, position)
        position += _ITEM_HEADER.size
        if length > left - _ITEM_HEADER.size:
            raise ProtocolViolation(
                f"item {kind:#04x} says {length} bytes, {left - _ITEM_HEADER.size} are left (PS3.8 §9.3.1)"
            )
        yield kind, body[position : position + length]
        position += length


def encode_item(kind: int, content: bytes) -> bytes:
    if len(content) > 0xFFFF:
        raise ValueError(f"item {kind:#04x} of {len(content)} bytes; at most 65535 fit")
    return _ITEM_HEADER.pack(kind, len(content)) + content


def decode_uid(content: memoryview) -> str:
    """A UID of an item; padding is not allowed there but is seen, so it is taken off (PS3.8 Annex F)."""
    if len(content) > MAX_UID_BYTES + 2:
        raise ProtocolViolation(f"UID of {len(content)} bytes; at most {MAX_UID_BYTES} (PS3.8 Annex F)")
    return bytes(content).decode("latin-1").strip("\0 ")


def encode_proposed_context(context: ProposedContext) -> bytes:
    syntaxes = encode_item(0x30, context.abstract_syntax.encode("ascii"))
    syntaxes += b"".join(encode_item(0x40, uid.encode("ascii")) for uid in context.transfer_syntaxes)
    return encode_item(0x20, bytes((context.context_id, 0, 0, 0)) + syntaxes)


class ProposedContextReader:
    """Reads the presentation contexts of one A-ASSOCIATE-RQ.

    A peer that proposes 128 contexts proposes the same transfer syntaxes in most: equal bytes are read once.
    """

    def __init__(self) -> None:
        self._read: dict[bytes, tuple[str, ...]] = {}

    def read(self, content: memoryview) -> ProposedContext:
        """One Presentation Context Item. Raises `ProtocolViolation`."""
        context_id = _context_id(content)
        items = content[4:]
        # The abstract syntax comes first (PS3.8 §9.3.2.2), and what follows is the transfer syntaxes.
        first = next(iter_items(items), None)
        if first is None or first[0] != 0x30:
            raise ProtocolViolation(f"presentation context {context_id} does not begin with its abstract syntax")
        rest = bytes(items[_ITEM_HEADER.size + len(first[1]) :])
        transfer_syntaxes = self._read.get(rest)
        if transfer_syntaxes is None:
            transfer_syntaxes = self._read[rest] = _transfer_syntaxes(rest, context_id)
        return ProposedContext(context_id, decode_uid(first[1]), transfer_syntaxes)


def _transfer_syntaxes(items: bytes, context_id: int) -> tuple[str, ...]:
    found: list[str] = []
    for kind, item in iter_items(memoryview(items)):
        if kind == 0x30:
            raise ProtocolViolation(f"presentation context {context_id} has two abstract syntaxes")
        if kind == 0x40:
            found.append(decode_uid(item))
    return tuple(found)


def encode_context_result(context: ContextResult) -> bytes:
    syntax = encode_item(0x40, context.transfer_syntax.encode("ascii"))
    return encode_item(0x21, bytes((context.context_id, 0, context.result, 0)) + syntax)


def decode_context_result(content: memoryview) -> ContextResult:
    context_id = _context_id(content)
    transfer = [decode_uid(item) for kind, item in iter_items(content[4:]) if kind == 0x40]
    if content[2] == 0 and len(transfer) != 1:
        raise ProtocolViolation(f"accepted presentation context {context_id} has {len(transfer)} transfer syntaxes")
    return ContextResult(context_id, content[2], transfer[0] if transfer else "")


def _context_id(content: memoryview) -> int:
    if len(content) < 4:
        raise ProtocolViolation(f"presentation context item of {len(content)} bytes; at least 4 (PS3.8 §9.3.2.2)")
    if content[0] % 2 == 0:
        raise ProtocolViolation(f"presentation context ID {content[0]} is even (PS3.8 §9.3.2.2)")
    return content[0]


def encode_user_information(information: UserInformation) -> bytes:
    parts = [encode_item(0x51, struct.pack(">I", information.max_pdu_length))]
    if information.implementation_class_uid:
        parts.append(encode_item(0x52, information.implementation_class_uid.encode("ascii")))
    if information.asynchronous_operations is not None:
        parts.append(encode_item(0x53, struct.pack(">HH", *information.asynchronous_operations)))
    for role in information.roles:
        uid = role.sop_class_uid.encode("ascii")
        parts.append(encode_item(0x54, struct.pack(">H", len(uid)) + uid + bytes((role.is_scu, role.is_scp))))
    if information.implementation_version_name:
        parts.append(encode_item(0x55, information.implementation_version_name.encode("ascii")[:16]))
    for extended in information.extended:
        uid = extended.sop_class_uid.encode("ascii")
        parts.append(encode_item(0x56, struct.pack(">H", len(uid)) + uid + extended.information))
    return encode_item(0x50, b"".join(parts))


def decode_user_information(content: memoryview) -> UserInformation:
    """Read a User Information Item; sub-items that mean nothing to us are read over.

    Raises:
        ProtocolViolation: no Maximum Length sub-item, or a sub-item that is torn.
    """
    fields: dict[str, object] = {}
    roles: list[RoleSelection] = []
    extended: list[ExtendedNegotiation] = []
    for kind, item in iter_items(content):
        if kind == 0x54:
            uid, rest = _counted_uid(item)
            if len(rest) != 2:
                raise ProtocolViolation(f"role selection of {uid} has {len(rest)} role bytes, not 2 (PS3.7 D.3.3.4)")
            roles.append(RoleSelection(uid, rest[0] == 1, rest[1] == 1))
        elif kind == 0x56:
            uid, rest = _counted_uid(item)
            extended.append(ExtendedNegotiation(uid, bytes(rest)))
        elif kind in _SUB_ITEMS:
            name, read = _SUB_ITEMS[kind]
            fields[name] = read(item)
    if "max_pdu_length" not in fields:
        raise ProtocolViolation("user information without a maximum length (PS3.8 D.1)")
    return UserInformation(**fields, roles=tuple(roles), extended=tuple(extended))  # type: ignore[arg-type]


def _counted_uid(item: memoryview) -> tuple[str, memoryview]:
    if len(item) < 2:
        raise ProtocolViolation("sub-item without the length of its UID (PS3.7 D.3.3)")
    length = int.from_bytes(item[:2], "big")
    if length > len(item) - 2:
        raise ProtocolViolation(f"sub-item says a UID of {length} bytes, {len(item) - 2} are left (PS3.7 D.3.3)")
    return decode_uid(item[2 : 2 + length]), item[2 + length :]


def _maximum_length(item: memoryview) -> int:
    if len(item) != 4:
        raise ProtocolViolation(f"maximum length sub-item of {len(item)} bytes, not 4 (PS3.8 D.1.1)")
    return int.from_bytes(item, "big")


def _operations(item: memoryview) -> tuple[int, int]:
    if len(item) != 4:
        raise ProtocolViolation(f"asynchronous operations sub-item of {len(item)} bytes, not 4 (PS3.7 D.3.3.3)")
    return int.from_bytes(item[:2], "big"), int.from_bytes(item[2:], "big")


def _version_name(item: memoryview) -> str:
    return bytes(item[:16]).decode("latin-1").strip("\0 ")


_SUB_ITEMS: dict[int, tuple[str, Callable[[memoryview], object]]] = {
    0x51: ("max_pdu_length", _maximum_length),
    0x52: ("implementation_class_uid", decode_uid),
    0x53: ("asynchronous_operations", _operations),
    0x55: ("implementation_version_name", _version_name),
}
