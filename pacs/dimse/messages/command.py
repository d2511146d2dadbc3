"""Command sets: group 0000 in Implicit VR Little Endian (PS3.7 §6.3, §9.3, §10.3, Annex E)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum

from pacs.errors import ProtocolViolation

MAX_COMMAND_SET_BYTES = 1 << 16
"""More than any command set needs: twenty elements, and one attribute list of an N-GET."""

Value = int | str | tuple[int, ...]
"""US and UL as int, UI, AE and LO as str, AT as a tuple of tags."""

NO_DATA_SET = 0x0101
A_DATA_SET = 0x0001
"""Values of Command Data Set Type (0000,0800); any but the first says that a data set follows."""
RESPONSE = 0x8000
"""Set in the command field of every response."""


class CommandField(IntEnum):
    """(0000,0100), PS3.7 Table E.1-1. A response is its request's number with the highest bit set."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    C_CANCEL_RQ = 0x0FFF
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150


class Priority(IntEnum):
    """(0000,0700)."""

    MEDIUM = 0
    HIGH = 1
    LOW = 2


class Element(IntEnum):
    """The element numbers of group 0000 in use (PS3.7 Table E.1-1)."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    OFFENDING_ELEMENT = 0x0901
    ERROR_COMMENT = 0x0902
    ERROR_ID = 0x0903
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    REQUESTED_SOP_INSTANCE_UID = 0x1001
    EVENT_TYPE_ID = 0x1002
    ATTRIBUTE_IDENTIFIER_LIST = 0x1005
    ACTION_TYPE_ID = 0x1008
    REMAINING_SUB_OPERATIONS = 0x1020
    COMPLETED_SUB_OPERATIONS = 0x1021
    FAILED_SUB_OPERATIONS = 0x1022
    WARNING_SUB_OPERATIONS = 0x1023
    MOVE_ORIGINATOR_AE_TITLE = 0x1030
    MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


_UID = frozenset({0x0002, 0x0003, 0x1000, 0x1001})
_TEXT = frozenset({0x0600, 0x0902, 0x1030})
_TAGS = frozenset({0x0901, 0x1005})
_KNOWN = frozenset(int(element) for element in Element)
MAX_TEXT_BYTES = 64
"""The longest that UI and LO allow (PS3.5 §6.2)."""
_HEAD = struct.Struct("<HHI")
_US = struct.Struct("<HHIH")
_GROUP_LENGTH = struct.Struct("<HHII")


class CommandSet(Mapping[int, Value]):
    """One command set, unchangeable: element number of group 0000 -> value.

    The properties give the usual elements by name; those a message cannot do without raise `ProtocolViolation`
    when they are missing, the others are None (or 0 for counts).
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[int, Value]) -> None:
        self._values = dict(sorted(values.items()))

    def __getitem__(self, element: int) -> Value:
        return self._values[element]

    def __iter__(self) -> Iterator[int]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CommandSet) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"CommandSet({self._values!r})"

    # -- what every message has

    @property
    def command_field(self) -> int:
        return self._required_number(Element.COMMAND_FIELD)

    @property
    def is_response(self) -> bool:
        return bool(self.command_field & RESPONSE)

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows (PS3.7 E.1: anything but 0x0101)."""
        return self._required_number(Element.COMMAND_DATA_SET_TYPE) != NO_DATA_SET

    @property
    def message_id(self) -> int:
        return self._required_number(Element.MESSAGE_ID)

    @property
    def message_id_being_responded_to(self) -> int:
        return self._required_number(Element.MESSAGE_ID_BEING_RESPONDED_TO)

    @property
    def status(self) -> int:
        return self._required_number(Element.STATUS)

    # -- what some have

    @property
    def affected_sop_class_uid(self) -> str | None:
        return self._text(Element.AFFECTED_SOP_CLASS_UID)

    @property
    def affected_sop_instance_uid(self) -> str | None:
        return self._text(Element.AFFECTED_SOP_INSTANCE_UID)

    @property
    def requested_sop_class_uid(self) -> str | None:
        return self._text(Element.REQUESTED_SOP_CLASS_UID)

    @property
    def requested_sop_instance_uid(self) -> str | None:
        return self._text(Element.REQUESTED_SOP_INSTANCE_UID)

    @property
    def move_destination(self) -> str | None:
        return self._text(Element.MOVE_DESTINATION)

    @property
    def move_originator_ae_title(self) -> str | None:
        return self._text(Element.MOVE_ORIGINATOR_AE_TITLE)

    @property
    def move_originator_message_id(self) -> int | None:
        return self._number(Element.MOVE_ORIGINATOR_MESSAGE_ID)

    @property
    def error_comment(self) -> str | None:
        return self._text(Element.ERROR_COMMENT)

    @property
    def priority(self) -> int:
        return self._number(Element.PRIORITY) or 0

    @property
    def action_type_id(self) -> int | None:
        return self._number(Element.ACTION_TYPE_ID)

    @property
    def event_type_id(self) -> int | None:
        return self._number(Element.EVENT_TYPE_ID)

    @property
    def remaining_sub_operations(self) -> int:
        return self._number(Element.REMAINING_SUB_OPERATIONS) or 0

    @property
    def completed_sub_operations(self) -> int:
        return self._number(Element.COMPLETED_SUB_OPERATIONS) or 0

    @property
    def failed_sub_operations(self) -> int:
        return self._number(Element.FAILED_SUB_OPERATIONS) or 0

    @property
    def warning_sub_operations(self) -> int:
        return self._number(Element.WARNING_SUB_OPERATIONS) or 0

    def _number(self, element: Element) -> int | None:
        value = self._values.get(element)
        return value if isinstance(value, int) else None

    def _text(self, element: Element) -> str | None:
        value = self._values.get(element)
        return value if isinstance(value, str) else None

    def _required_number(self, element: Element) -> int:
        value = self._values.get(element)
        if not isinstance(value, int):
            raise ProtocolViolation(f"command set without {element.name} (0000,{element:04X}) (PS3.7 §9.3)")
        return value

    # -- bytes

    def encode(self) -> bytes:
        """The command set's bytes, elements in order, with its group length.

        Raises:
            ValueError: a number that does not fit its element, or an element this archive does not know.
        """
        body = b"".join([_encode_element(element, value) for element, value in self._values.items() if element])
        return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body

    @classmethod
    def decode(cls, encoded: bytes | bytearray | memoryview) -> CommandSet:
        """Read a command set. Retired and unknown elements of group 0000 are left out; a wrong group length is
        forgiven, because it is not needed.

        Raises:
            ProtocolViolation: too large, torn, another group, an element twice, or a value of the wrong size.
        """
        buffer = memoryview(encoded)
        if len(buffer) > MAX_COMMAND_SET_BYTES:
            raise ProtocolViolation(f"command set of {len(buffer)} bytes; at most {MAX_COMMAND_SET_BYTES} are taken")
        values: dict[int, Value] = {}
        position, end = 0, len(buffer)
        while position < end:
            if end - position < 8:
                raise ProtocolViolation(f"command set torn in an element header at byte {position} (PS3.7 §6.3.1)")
            group, element, length = _HEAD.unpack_from(buffer, position)
            position += 8
            if group != 0:
                raise ProtocolViolation(f"element ({group:04X},{element:04X}) in a command set (PS3.7 §6.3.1)")
            left = end - position
            if length > left:
                raise ProtocolViolation(
                    f"element (0000,{element:04X}) says {length} bytes, {left} are left (PS3.7 §6.3)"
                )
            if element in values:
                raise ProtocolViolation(f"element (0000,{element:04X}) stands twice in a command set")
            if element and element in _KNOWN:
                value = _decode_value(element, bytes(buffer[position : position + length]))
                if value is not None:
                    values[element] = value
            position += length
        return cls(values)


def _encode_element(element: int, value: Value) -> bytes:
    if element in _UID and isinstance(value, str):
        encoded = value.encode("ascii", "replace")
        encoded += b"\0" * (len(encoded) % 2)
    elif element in _TEXT and isinstance(value, str):
        encoded = value.encode("ascii", "replace")
        encoded += b" " * (len(encoded) % 2)
    elif element in _TAGS and isinstance(value, tuple):
        encoded = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in value)
    elif element in _KNOWN and isinstance(value, int) and 0 <= value <= 0xFFFF:
        return _US.pack(0, element, 2, value)
    else:
        raise ValueError(f"command element (0000,{element:04X}) cannot hold {value!r}")
    return _HEAD.pack(0, element, len(encoded)) + encoded


def _decode_value(element: int, encoded: bytes) -> Value | None:
    """The value, or None for an empty one."""
    if not encoded:
        return None
    if element in _UID or element in _TEXT:
        # 64 is the longest that UI and LO allow; a spare byte or two of padding is seen in practice.
        if len(encoded) > MAX_TEXT_BYTES + 2 and element != Element.ERROR_COMMENT:
            raise ProtocolViolation(f"element (0000,{element:04X}) of {len(encoded)} bytes; at most 64 (PS3.5 §6.2)")
        return encoded.decode("latin-1").strip("\0 ")
    if element in _TAGS:
        if len(encoded) % 4:
            raise ProtocolViolation(f"element (0000,{element:04X}) of {len(encoded)} bytes is no list of tags")
        halves = struct.unpack(f"<{len(encoded) // 2}H", encoded)
        return tuple((halves[i] << 16) | halves[i + 1] for i in range(0, len(halves), 2))
    if len(encoded) != 2:
        raise ProtocolViolation(f"element (0000,{element:04X}) of {len(encoded)} bytes; a US has 2 (PS3.5 §6.2)")
    return int.from_bytes(encoded, "little")
