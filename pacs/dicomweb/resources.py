"""The resources of the Studies Service (PS3.18 §10.1.1) as they stand in URLs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pacs.errors import InvalidRequest
from pacs.model import InstanceKey, checked_uid

MAX_FRAMES_PER_REQUEST = 10_000
_FRAME_LIST = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9})*\Z")
_HOST = re.compile(r"(?:[0-9A-Za-z._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_IMPLIED_PORTS = {"http": 80, "https": 443}
_BULK_DATA_PATH = re.compile(r"[0-9A-Fa-f]{8}(?:/[0-9]{1,9}/[0-9A-Fa-f]{8}){0,64}\Z")


@dataclass(frozen=True, slots=True)
class ResourceKey:
    """The UIDs of a URL below ``/studies``; all of them have the form of a UID."""

    study_instance_uid: str
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> ResourceKey:
        """From the path parameters ``study``, ``series`` and ``instance``.

        Raises:
            InvalidIdentity: one of them is no UID; names which.
        """
        series, instance = parameters.get("series"), parameters.get("instance")
        return cls(
            checked_uid(parameters["study"], "The study in the URL"),
            None if series is None else checked_uid(series, "The series in the URL"),
            None if instance is None else checked_uid(instance, "The instance in the URL"),
        )

    @classmethod
    def of_instance(cls, key: InstanceKey) -> ResourceKey:
        """That of a stored instance."""
        return cls(key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)

    @property
    def path(self) -> str:
        """Below the service's base: ``/studies/1.2/series/1.3``."""
        path = f"/studies/{self.study_instance_uid}"
        if self.series_instance_uid is not None:
            path += f"/series/{self.series_instance_uid}"
        if self.sop_instance_uid is not None:
            path += f"/instances/{self.sop_instance_uid}"
        return path


def frame_numbers(text: str) -> tuple[int, ...]:
    """The frame list of a URL (PS3.18 §10.4.1.1.6): numbers from 1, separated by commas, in the order asked for.

    Raises:
        InvalidRequest: empty, not numbers, a zero, or more than `MAX_FRAMES_PER_REQUEST`.
    """
    if not _FRAME_LIST.match(text):
        raise InvalidRequest(f"The frame list {text[:60]!r} is not numbers separated by commas, such as 1,2,3")
    if text.count(",") >= MAX_FRAMES_PER_REQUEST:
        raise InvalidRequest(f"More than {MAX_FRAMES_PER_REQUEST} frames are asked for at once; ask for fewer")
    numbers = tuple(int(number) for number in text.split(","))
    if 0 in numbers:
        raise InvalidRequest("Frame numbers start at 1 (PS3.18 §10.4.1.1.6)")
    return numbers


def bulk_data_path(text: str) -> str:
    """The part of a bulk data URL behind ``/bulkdata/``: tags and item numbers, ``00400275/1/00091010``.

    Raises:
        InvalidRequest: any other form.
    """
    if not _BULK_DATA_PATH.match(text):
        raise InvalidRequest(f"The bulk data path {text[:80]!r} is not of the form 00400275/1/00091010")
    return text.upper()


def service_base(scope: Mapping[str, Any]) -> str:
    """The URL under which the client reached this door, without a slash at the end: ``http://host:8080/dicomweb``.

    Taken from the Host header when it has the form of one; otherwise from the listening address. A client that names
    the listening address itself but forgets its port (dicomweb-client does) gets the port back. Where everybody reaches
    the door stands above both when the scope has it as ``public_url``.
    """
    public_url: str | None = scope.get("public_url")
    if public_url is not None:
        return public_url
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    address, port = scope.get("server") or ("localhost", None)
    address = f"[{address}]" if ":" in str(address) else str(address)
    if not _HOST.match(host) or host in (address, "localhost"):
        is_implied = port is None or port == _IMPLIED_PORTS.get(scope.get("scheme", "http"))
        host = (host if host == "localhost" else address) + ("" if is_implied else f":{port}")
    return f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '')}"
