"""Which application entities may open an association, and which principal each is (PS3.8 §7.1.1.9)."""

from __future__ import annotations

import ipaddress
import re

from pacs.model import DEFAULT_HOSPITAL, Principal
from pacs.settings import DicomSettings, InvalidSettings, PeerSettings, is_loopback

_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}\Z")


class UnknownApplicationEntity(Exception):
    """No association for this pair of AE titles from this address; it ends as an A-ASSOCIATE-RJ, never as a status."""

    def __init__(self, message: str, *, is_called: bool) -> None:
        super().__init__(message)
        self.is_called = is_called
        """Whether the called AE title was not recognized, rather than the calling one."""


class ApplicationEntities:
    """The application entities of the settings.

    With no peer configured anybody is taken, but only while we listen on a loopback address. Construction raises
    `InvalidSettings` when a peer's host is a name instead of an address.
    """

    def __init__(self, settings: DicomSettings) -> None:
        self._aet = settings.aet
        self._peers: dict[str, list[PeerSettings]] = {}
        for peer in settings.peers:
            if peer.host is not None and ip_address_of(peer.host) is None:
                raise InvalidSettings(f"dicom.peers: host {peer.host!r} of {peer.aet!r} is no IP address")
            self._peers.setdefault(peer.aet, []).append(peer)
        self._takes_anybody = not settings.peers and is_loopback(settings.host)

    def identify(self, calling: str, called: str, address: str) -> Principal:
        """The principal behind an association request.

        Args:
            calling: the peer's AE title; spaces around it mean nothing.
            called: the AE title it asks for.
            address: the IP address it comes from.

        Raises:
            UnknownApplicationEntity: another archive is called, or this peer may not connect.
        """
        calling, called = calling.strip(" "), called.strip(" ")
        if called != self._aet:
            raise UnknownApplicationEntity(
                f"called AE title {called!r} is not ours; this archive is {self._aet!r}", is_called=True
            )
        if not _AE_TITLE.match(calling):
            raise UnknownApplicationEntity(f"calling AE title {calling!r} is no AE title", is_called=False)
        if self._takes_anybody:
            return Principal(calling, DEFAULT_HOSPITAL)
        if not self._peers.get(calling):
            raise UnknownApplicationEntity(
                f"calling AE title {calling!r} is not in dicom.peers; add it there to let it in", is_called=False
            )
        peer = self.peer(calling, address)
        if peer is None:
            raise UnknownApplicationEntity(
                f"{calling!r} comes from {address}, which dicom.peers does not name for it", is_called=False
            )
        return Principal(calling, peer.hospital)

    def peer(self, calling: str, address: str) -> PeerSettings | None:
        """What the settings say of `calling` at `address`; None where they name no such peer."""
        for peer in self._peers.get(calling.strip(" "), ()):
            if peer.host is None or is_same_host(peer.host, address):
                return peer
        return None


def is_same_host(configured: str, address: str) -> bool:
    """Compared as IP addresses, never by name: a name would be asked of somebody else."""
    expected, actual = ip_address_of(configured), ip_address_of(address)
    return expected is not None and expected == actual


def ip_address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None when it is none; an IPv4 address in the form of IPv6 is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text.split("%", maxsplit=1)[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
