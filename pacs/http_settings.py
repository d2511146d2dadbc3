"""Settings of the web doors; a section of `pacs.settings.Settings`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=0, le=65535)]
_ORIGIN = r"https?://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(:[1-9][0-9]{0,4})?"

_PUBLIC_URL = _ORIGIN + r"(/[a-z0-9._~-]+)*"


def _checked_origin(origin: str) -> str:
    is_default = origin.startswith("http://") and origin.endswith(":80")
    is_default = is_default or (origin.startswith("https://") and origin.endswith(":443"))
    if not re.fullmatch(_ORIGIN, origin) or is_default:
        raise ValueError(
            f"{origin[:100]!r} is no origin as browsers send it, such as https://viewer.example.org: lower case, a port"
            " only where it is not the usual one, and without a path"
        )
    return origin


def _checked_public_url(url: str) -> str:
    if not re.fullmatch(_PUBLIC_URL, url, re.IGNORECASE):
        raise ValueError(
            f"{url[:100]!r} is no URL that the paths of DICOMweb can follow, such as"
            " https://images.hospital.example/dicomweb: without a slash at the end, a user name, ? or #"
        )
    return url


class HttpSettings(BaseModel):
    """The web doors: DICOMweb, the viewer, health."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Web processes; one per core is enough, a frame costs almost no computing."""
    body_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Silence in the middle of a store request's body."""
    least_bytes_per_s: Annotated[float, Field(gt=0)] = 1000.0
    """Of a body, after the first `body_timeout_s` of it, as ``dicom.least_bytes_per_s`` has it."""
    behind_authenticating_proxy: bool = False
    """Say true only when a proxy in front asks people who they are: needed to listen beyond loopback."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names, without port, under which browsers reach the archive. Loopback addresses, ``localhost`` and this
    machine's own name are always right; others are refused, so that no web page can point a name of its own at the
    archive. Empty behind an authenticating proxy: any."""
    viewer_origins: tuple[Annotated[str, AfterValidator(_checked_origin)], ...] = ()
    """Origins of viewers elsewhere, such as ``https://viewer.example.org``, whose pages may read over DICOMweb in
    whatever browser they are open. They change nothing, and pages of other origins read nothing."""
    public_url: Annotated[str, AfterValidator(_checked_public_url)] | None = None
    """Where everybody reaches DICOMweb, such as ``https://images.hospital.example/dicomweb``: what URLs in answers
    begin with, and the Retrieve URL of C-FIND. When absent, URLs begin with the name by which the client came, and
    C-FIND, which knows of none, gives no Retrieve URL. A proxy that strips a path needs it."""
    delete: bool = False
    """Whether studies, series and instances may be deleted over DICOMweb, with a reason, and restored from the trash.
    Whoever reaches this door may then do so."""
    annotation_font: Path | None = None
    """TrueType or OpenType font for text on pictures in other letters than Latin ones; without it those that systems
    usually have are looked for, and without any Hangul is written in Latin letters."""
