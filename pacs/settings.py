"""Typed, frozen settings, one class per component.

Read, each overriding the one before: defaults here, a TOML file (``--config``), the environment
(``PACS_HTTP__PORT=8080``), the command line. `pacs config` shows the result and where a secret is only a name.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from pacs.budget_settings import BudgetSettings, MetricsSettings
from pacs.http_settings import HttpSettings, Port

AeTitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[\x20-\x5b\x5d-\x7e]+$")
]
"""PS3.5 §6.2 VR AE: 1 to 16 characters without backslash; leading and trailing spaces mean nothing."""


def _existing_durability(word: str | None) -> str | None:
    if word in {"bucket", "site"}:
        raise ValueError(f"{word!r} is not there yet: this version keeps images on local disk only; write 'local'")
    return word


Durability = Annotated[Literal["local", "bucket", "site"], AfterValidator(_existing_durability)]
"""What success promises: the image is safe on local disk, in the bucket, at the second site."""


class InvalidSettings(Exception):
    """A setting is wrong; the message names its key, the value and what is expected."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PeerSettings(_Section):
    """An application entity that may open associations with us."""

    aet: AeTitle
    host: str | None = None
    """IP address it must come from; any when absent."""
    hospital: str = "default"
    priority: Literal["low", "normal", "high"] = "normal"
    """While a higher one sends, a lower one is read more slowly: ``low`` for the migration of old data, ``high`` for
    the scanner of the emergency room."""
    durability: Durability | None = None
    """For what it sends; as ``ingest.durability`` when absent."""


class DestinationSettings(_Section):
    """Where C-MOVE and storage commitment results may go; nothing else is ever dialled."""

    aet: AeTitle
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool = False
    ca: Path | None = None
    """PEM file of the authorities that may vouch for it; those of the operating system when absent."""
    certificate_name: str | None = None
    """The name in its certificate; `host` when absent."""


class TlsSettings(_Section):
    """TLS on the DIMSE door; PEM files. Our certificate is also shown to destinations that ask for one."""

    certificate: Path
    """Ours, followed by those of its issuers."""
    key: Path
    """Its private key, without passphrase."""
    client_ca: Path | None = None
    """Authorities that vouch for peers; nobody is asked for a certificate when absent."""
    client_certificate: Literal["required", "optional"] = "required"
    """With `client_ca`: whether a peer without a certificate is let in. A wrong one never is."""


class DicomSettings(_Section):
    """The DIMSE door (PS3.7, PS3.8)."""

    host: str = "127.0.0.1"
    port: Port = 11112
    aet: AeTitle = "PACS"
    peers: tuple[PeerSettings, ...] = ()
    """Empty: any calling AE title, allowed only while `host` is a loopback address."""
    destinations: tuple[DestinationSettings, ...] = ()
    tls: TlsSettings | None = None
    """With it, only TLS is spoken on `port`; without, none is."""
    max_pdu: Annotated[int, Field(ge=4096, le=1 << 20)] = 131072
    """Bytes per P-DATA-TF we offer; 128 KB costs least per byte (larger ones gain nothing)."""
    max_associations: Annotated[int, Field(ge=1)] = 200
    max_associations_per_peer: Annotated[int, Field(ge=1)] = 50
    """Of one AE title and address; scanners use up to 4, migrations up to 32, nobody should fill the house alone."""
    acse_timeout_s: float = 30.0
    """From connect to A-ASSOCIATE-RQ, and for release: a slow scanner needs 5, a silent attacker gets 30."""
    idle_timeout_s: float = 300.0
    """Silence on an open association; modalities hold one open between slices."""
    data_timeout_s: float = 60.0
    """Silence in the middle of a message."""
    least_bytes_per_s: Annotated[float, Field(gt=0)] = 1000.0
    """Of a message, after the first `data_timeout_s` of it: slower than any line, so a drip ends as silence does."""


class IndexSettings(_Section):
    """Where the index's rows are kept."""

    url: str | None = None
    """SQLAlchemy URL, ``postgresql+psycopg://user@host/db``; SQLite under `data` when absent."""


class CoercionSettings(_Section):
    """What is changed in the instances of a sender before they are stored. The original stays retrievable, and every
    change is recorded in the data set itself (PS3.3 C.12.1.1.9). Attributes are named by keyword or tag (``00080080``)
    and stand at the top level."""

    aet: AeTitle | None = None
    """Calling AE title; any when absent."""
    host: str | None = None
    """IP address it must come from, over DICOM or HTTP; any when absent. One of the two is needed."""
    set: dict[str, str] = {}
    """Values to have, whatever came. A backslash separates several values."""
    default: dict[str, str] = {}
    """Values to have where none came."""
    remove: tuple[str, ...] = ()
    """Attributes to leave out."""

    @model_validator(mode="after")
    def _is_about_somebody(self) -> CoercionSettings:
        if self.aet is None and self.host is None:
            raise ValueError("name the sender whose instances are changed: aet, host or both")
        return self


class IngestSettings(_Section):
    """Limits and policy of what is taken in."""

    max_instance_bytes: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    """Larger data sets are refused while they arrive."""
    memory_bytes_per_instance: Annotated[int, Field(ge=1 << 16)] = 16 << 20
    """Beyond this an arriving instance continues on disk, so that memory stays bounded."""
    memory_bytes_in_flight: Annotated[int, Field(ge=1 << 20)] = 256 << 20
    """Of all arriving instances of one process together; when it is reached they continue on disk earlier."""
    max_inflated_bytes: Annotated[int, Field(ge=1 << 20)] = 256 << 20
    """A deflated data set that grows past this is refused (a bomb); one at a time is inflated, in memory."""
    durability: Durability = "local"
    """When an image counts as safe, so that success is answered: ``local`` as soon as disk and index have it. Further
    words come with further tiers: ``bucket``, ``site``. A peer in ``dicom.peers`` may have its own."""
    duplicates: Literal["refuse", "keep-both"] = "refuse"
    """What happens to other bytes under a SOP Instance UID that is kept already: ``refuse`` keeps the first and tells
    the sender; ``keep-both`` serves the newest and keeps the earlier as versions, never across studies or series."""
    coercion: tuple[CoercionSettings, ...] = ()
    """Attributes that are set, filled in or removed, by sender."""


class CommitmentSettings(_Section):
    """Storage commitment (PS3.4 Annex J). Results go to the address that dicom.destinations has for the requester."""

    max_references: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Instances of one request; a whole-body CT has 5,000. Each costs up to 500 bytes of memory while it is read."""
    max_open_per_peer: Annotated[int, Field(ge=1)] = 1000
    """Requests of one AE title that are not reported yet; one more is refused, so that nobody fills the index."""
    same_association_s: Annotated[float, Field(ge=0)] = 5.0
    """How long a result waits for a quiet moment on the association it was asked on before a new one is opened."""
    first_pause_s: Annotated[float, Field(gt=0)] = 10.0
    """After the first report that did not get through; each further pause is twice as long."""
    longest_pause_s: Annotated[float, Field(gt=0)] = 1800.0
    """A requester that was away for the night hears of its results within half an hour."""
    give_up_after_s: Annotated[float, Field(gt=0)] = 7 * 86400.0
    """From request to the last try: longer than a holiday weekend. A warning in the log tells it."""
    keep_s: Annotated[float, Field(ge=0)] = 30 * 86400.0
    """How long a finished transaction is known, so that its UID is not used again for other instances."""


class SearchSettings(_Section):
    """C-FIND and QIDO-RS: what one search, and one hospital, may take."""

    deadline_s: Annotated[float, Field(gt=0)] = 10.0
    """Of the index, per search; the time in which the answers are sent is not counted. Past it the search is ended and
    told to be too broad (HTTP 413, status 0xA700): a search that takes so long reads most of the archive."""
    at_once_per_hospital: Annotated[int, Field(ge=1)] = 4
    """Searches that work at a time, in each process; a quick one is over in milliseconds."""
    waiting_per_hospital: Annotated[int, Field(ge=0)] = 16
    """Searches that wait for those, in each process; one more is answered with 503 and Retry-After, status 0xA700."""
    max_results: Annotated[int, Field(ge=1)] = 50_000
    """Of one answer. QIDO-RS says in a Warning where to go on, C-FIND, which cannot go on, ends with 0xA700: who needs
    more asks by ranges of dates."""


class DecodingSettings(_Section):
    """Decoding of pixels for pictures and other transfer syntaxes, in processes apart: a frame that crashes a codec,
    never ends or wants all memory costs one of them."""

    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Decoders of each web process; the background and DIMSE processes start theirs when they need some."""
    memory_bytes: Annotated[int, Field(ge=64 << 20)] = 1 << 30
    """Of one decoder, on top of its programs: a frame, what it decodes to and what is made of it."""
    processor_s: Annotated[float, Field(gt=0)] = 10.0
    """Processor time for one piece of work: a large mammogram takes 2 s, a damaged one can take for ever."""
    deadline_s: Annotated[float, Field(gt=0)] = 30.0
    """By the clock, for one piece of work on a machine that is busy with others."""
    waiting: Annotated[int, Field(ge=0)] = 64
    """Pieces of work that wait for a decoder, in each process; one more is answered with 503 and Retry-After."""
    wait_s: Annotated[float, Field(gt=0)] = 10.0
    """How long they wait before they are answered so, too."""


class WorklistSettings(_Section):
    """Unified Procedure Steps (PS3.4 Annex CC, PS3.18 §11)."""

    default_label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)] = "Worklist"
    """Worklist Label of workitems that come without one."""
    keep_ended_s: Annotated[float, Field(ge=0)] = 30 * 86400.0
    """From COMPLETED or CANCELED to deletion, unless a subscriber's deletion lock holds it longer."""
    max_subscribers: Annotated[int, Field(ge=1)] = 200
    """AE titles with subscriptions, of each hospital; a change of a workitem is written once for each of its own."""
    max_waiting_events: Annotated[int, Field(ge=1)] = 10_000
    """Of one subscriber that is not connected; the oldest are dropped first."""
    keep_events_s: Annotated[float, Field(gt=0)] = 7 * 86400.0
    """How long an event waits for its subscriber: longer than a holiday weekend."""
    max_connections: Annotated[int, Field(ge=1)] = 200
    """WebSockets of each web process."""
    max_connections_per_subscriber: Annotated[int, Field(ge=1)] = 4
    """Of those; all of one subscriber are told everything."""
    poll_s: Annotated[float, Field(gt=0)] = 0.1
    """How often a web process with WebSockets looks for events that others made."""


class TranscodingSettings(_Section):
    """Frames in another transfer syntax than the stored one, kept for who asks next."""

    cache_bytes: Annotated[int, Field(ge=0)] = 4 << 30
    """On disk, of all processes together: some 25,000 CT images in HTJ2K. What was not used for longest goes."""
    memory_bytes: Annotated[int, Field(ge=0)] = 64 << 20
    """Of those, in the memory of each web process: the series that is scrolled through now."""


class LifecycleSettings(_Section):
    """Background work."""

    settle_after_s: float = 20.0
    """A series quiet for this long gets its thumbnails and metadata made in the background."""
    trash_days: Annotated[float, Field(ge=0, le=36_500)] = 30.0
    """How long what was deleted can be restored; then its bytes are erased, an hour after the deletion at the
    earliest."""
    retain_days: Annotated[float, Field(ge=0, le=36_500)] = 0.0
    """How long after its last image came nothing of a study, series or instance may be deleted, where a law says so."""


class LogSettings(_Section):
    """The structured log on standard error."""

    format: Literal["json", "text"] = "json"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def is_loopback(host: str) -> bool:
    """Whether everything `host` stands for is this machine alone."""
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in addresses)


class Settings(BaseSettings):
    """All settings of one archive."""

    model_config = SettingsConfigDict(
        env_prefix="PACS_", env_nested_delimiter="__", frozen=True, extra="forbid", case_sensitive=False
    )

    data: Path = Path("data")
    """Folder under which everything is kept."""
    dicom: DicomSettings = DicomSettings()
    http: HttpSettings = HttpSettings()
    index: IndexSettings = IndexSettings()
    ingest: IngestSettings = IngestSettings()
    commitment: CommitmentSettings = CommitmentSettings()
    search: SearchSettings = SearchSettings()
    worklist: WorklistSettings = WorklistSettings()
    decoding: DecodingSettings = DecodingSettings()
    transcoding: TranscodingSettings = TranscodingSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    budgets: BudgetSettings = BudgetSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _is_closed_by_default(self) -> Settings:
        if not self.dicom.peers and not is_loopback(self.dicom.host):
            raise ValueError(
                f"dicom.host {self.dicom.host!r} is reachable from the network, so dicom.peers must name "
                "the application entities that may connect"
            )
        if not self.http.behind_authenticating_proxy and not is_loopback(self.http.host):
            raise ValueError(
                f"http.host {self.http.host!r} is reachable from the network, and nobody is asked who they are: "
                "put a proxy that authenticates in front and set http.behind_authenticating_proxy = true"
            )
        return self

    @property
    def index_url(self) -> str:
        """SQLAlchemy URL of the index."""
        return self.index.url or f"sqlite:///{self.data.resolve() / 'index.sqlite'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))


_NOT_SETTINGS = {"PACS_CONFIG", "PACS_CORPUS"}


def load(config: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read the effective settings: defaults, then `config` (TOML), then the environment, then `overrides`.

    Raises:
        InvalidSettings: names the key, its value and what is expected.
    """
    known = {f"PACS_{name.upper()}" for name in Settings.model_fields}
    for name in os.environ:
        upper = name.upper()
        if upper.startswith("PACS_") and upper not in _NOT_SETTINGS and upper.split("__")[0] not in known:
            raise InvalidSettings(f"environment variable {name} is no setting; `pacs config` lists them all")

    class _FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    if config is not None and not config.is_file():
        raise InvalidSettings(f"the settings file {config} does not exist")
    try:
        found = _FromFile(**(overrides or {}))
    except ValidationError as problem:
        raise InvalidSettings("; ".join(_explain(error) for error in problem.errors())) from problem
    except (SettingsError, tomllib.TOMLDecodeError) as problem:
        raise InvalidSettings(f"{config or 'environment'}: {problem}") from problem
    return Settings.model_construct(**{name: getattr(found, name) for name in Settings.model_fields})


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if not key:
        return message
    if error["type"] == "extra_forbidden":
        return f"{key}: there is no such setting; `pacs config` lists them all"
    given = "" if "url" in key or "secret" in key or "password" in key else f" (it is {error['input']!r})"
    return f"{key}: {message}{given}"
