"""WADO-RS studies, series and instances as DICOM files (PS3.18 §10.4.1.1.1-3), plain ASGI."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from starlette.types import Scope

from pacs.dicomweb.accept import MIXED, MediaRange, Offer, choose
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.multipart import Part, derived_boundary, encoded, encoded_length
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, service_base
from pacs.dicomweb.responses import REVALIDATE, entity_tag
from pacs.dicomweb.services import Services
from pacs.dicomweb.zip_archive import ZipEntry, ZipWriter, zip_length
from pacs.errors import UndecodablePixels
from pacs.model import Principal, StoredInstance
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, transfer_syntax
from pacs.pixels.encode import LOSSLESS_ENCODABLE
from pacs.pixels.form import form_of_frames
from pacs.transcoding import MadeFile

DICOM = "application/dicom"
ZIP = "application/zip"
_MAX_WHOLE_BYTES = 64 << 20
"""A larger file that was made is sent as it lies on disk, without ranges."""


def instances_of(services: Services) -> Callable[[Scope], Answer]:
    """The routes' function, for a study, a series and an instance."""

    def prepare(scope: Scope) -> Answer:
        key, accepted, instances = asked_for(services, scope)
        offer = chosen_offer(services, accepted, instances)
        base = service_base(scope)
        form = form_of_frames() if offer.is_only_if_named else "stored"
        identity = (base, offer.content_type(), form, *(instance.digest for instance in instances))
        tag = entity_tag(*identity)
        # A study or series may still grow.
        cache_control = services.caching_of_instances if key.sop_instance_uid else REVALIDATE
        headers = {"etag": tag, "cache-control": cache_control, "vary": "Accept"}
        if is_not_modified(scope, tag):
            return Answer(headers, status=304)
        if offer.media_type == ZIP:
            return _zipped(services, instances, offer, headers, key)
        if not offer.is_multipart:
            single = functools.partial(_single, services, instances[0], offer, headers)
            return Answer({}, make=single) if offer.is_only_if_named else single()
        boundary = derived_boundary(*identity)
        headers["content-type"] = offer.content_type(boundary)
        if not offer.is_only_if_named:
            length = encoded_length(
                boundary,
                (
                    _part(instance, base, instance.transfer_syntax_uid, instance.location.length)
                    for instance in instances
                ),
            )
            headers["content-length"] = str(length + sum(instance.location.length for instance in instances))
        parts = encoded(boundary, _parts(services, instances, offer, base))
        return Answer(headers, parts, is_lazy=True, waits_for_decoder=offer.is_only_if_named)

    return prepare


def asked_for(services: Services, scope: Scope) -> tuple[ResourceKey, Sequence[MediaRange], list[StoredInstance]]:
    """What the URL names, what the client accepts, and the instances that are there for it.

    Raises:
        Refused, InvalidIdentity, InvalidRequest, NotFound: looked at in this order.
    """
    principal = services.identify(scope)
    key = ResourceKey.of(scope["path_params"])
    accepted = accepted_by(scope)
    return key, accepted, find(services, principal, key)


def find(services: Services, principal: Principal, key: ResourceKey) -> list[StoredInstance]:
    """The instances that a study, series or instance URL names. Raises `NotFound` when there are none."""
    if key.series_instance_uid is not None and key.sop_instance_uid is not None:
        retrieve = services.retrieve
        return [retrieve.instance(principal, key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)]
    return services.retrieve.instances(
        principal, study_instance_uid=key.study_instance_uid, series_instance_uid=key.series_instance_uid
    )


def chosen_offer(services: Services, accepted: Sequence[MediaRange], instances: Sequence[StoredInstance]) -> Offer:
    """What the client likes best of what can be made; of a single instance that is looked at, of several each is sent
    in the nearest form to what was asked for (`_file`).

    Raises:
        NotAcceptable: there is none; says which there are.
    """
    (first, *others) = instances

    def obstacle(offer: Offer) -> str:
        if others or not offer.is_only_if_named or offer.transfer_syntax_uid is None:
            return ""
        if offer.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN and not (
            first.number_of_frames and transfer_syntax(first.transfer_syntax_uid).is_encapsulated
        ):
            return ""  # nothing is decoded for it
        return services.transcoding.obstacle(first, offer.transfer_syntax_uid)

    return choose(accepted, instance_offers(instances), obstacle)


def instance_offers(instances: Sequence[StoredInstance]) -> tuple[Offer, ...]:
    """As stored, byte for byte: many instances as multipart, one also by itself, any number as a zip archive.

    Other transfer syntaxes are made, without loss, for who names them; one that only some of many are stored in, which
    may be one with loss, can be named, too: the others come in the nearest form (`_file`). ``application/dicom``
    without a transfer syntax gives what is stored although PS3.18 §8.7.3.2 means Explicit VR Little Endian: what goes
    in comes out.
    """
    syntaxes = {instance.transfer_syntax_uid for instance in instances}
    syntax = syntaxes.pop() if len(syntaxes) == 1 else MIXED
    offers: list[Offer] = []
    made = (EXPLICIT_VR_LITTLE_ENDIAN, *LOSSLESS_ENCODABLE)
    named = (*made, *sorted(syntaxes.difference(made)))
    forms = [(DICOM, True), (DICOM, False), (ZIP, False)] if len(instances) == 1 else [(DICOM, True), (ZIP, False)]
    for media_type, is_multipart in forms:
        offers.append(Offer(media_type, syntax, is_multipart))
        offers += [Offer(media_type, uid, is_multipart, is_only_if_named=True) for uid in named if uid != syntax]
    return tuple(offers)


@contextmanager
def _file(services: Services, instance: StoredInstance, offer: Offer, *, is_one: bool) -> Iterator[MadeFile]:
    """The Part 10 file in the transfer syntax of `offer`.

    Of several, an instance that has no place in it (a report, packed bits, a video) is sent in Explicit VR Little
    Endian, or as stored; leaving it out would be worse. One that is asked for alone raises `UndecodablePixels`.
    """
    asked = offer.transfer_syntax_uid if offer.is_only_if_named else None
    stored = instance.transfer_syntax_uid
    file: MadeFile | None = None
    for uid in (stored,) if asked is None else (asked,) if is_one else (asked, EXPLICIT_VR_LITTLE_ENDIAN, stored):
        try:
            file = services.transcoding.file(instance, uid)
            break
        except UndecodablePixels:
            if is_one:
                raise
    assert file is not None  # noqa: S101 -- for the type checker: what is stored can always be sent
    try:
        yield file
    finally:
        file.close()


def _single(services: Services, instance: StoredInstance, offer: Offer, headers: dict[str, str]) -> Answer:
    with ExitStack() as stack:
        file = stack.enter_context(_file(services, instance, offer, is_one=True))
        headers |= {"content-type": offer.content_type(), "content-length": str(file.length)}
        if not offer.is_only_if_named or file.length <= _MAX_WHOLE_BYTES:
            return Answer(headers, tuple(file.pieces()))
        return Answer(headers, _closing(file, stack.pop_all()), is_lazy=True)  # made already, and waits in a file


def _closing(file: MadeFile, stack: ExitStack) -> Iterator[bytes | memoryview]:
    with stack:
        yield from file.pieces()


def _parts(services: Services, instances: Sequence[StoredInstance], offer: Offer, base: str) -> Iterator[Part]:
    for instance in instances:
        with _file(services, instance, offer, is_one=len(instances) == 1) as file:
            yield _part(instance, base, file.transfer_syntax_uid, file.length, file.pieces())


def _part(
    instance: StoredInstance,
    base: str,
    transfer_syntax_uid: str,
    length: int,
    pieces: Iterable[bytes | memoryview] = (),
) -> Part:
    place = base + ResourceKey.of_instance(instance.key).path
    return Part(f"{DICOM}; transfer-syntax={transfer_syntax_uid}", pieces, place, length)


def _zipped(
    services: Services,
    instances: Sequence[StoredInstance],
    offer: Offer,
    headers: dict[str, str],
    key: ResourceKey,
) -> Answer:
    """One file after the other; the second pass over each, for its checksum, reads what the first left in memory."""
    uid = key.sop_instance_uid or key.series_instance_uid or key.study_instance_uid
    headers |= {"content-type": offer.content_type(), "content-disposition": f'attachment; filename="{uid}.zip"'}
    if not offer.is_only_if_named:
        entries = (_entry(instance, instance.location.length, 0) for instance in instances)
        headers["content-length"] = str(zip_length(entries))

    def pieces() -> Iterator[bytes | memoryview]:
        writer = ZipWriter()
        for instance in instances:
            with _file(services, instance, offer, is_one=len(instances) == 1) as file:
                check = 0
                for piece in file.pieces():
                    check = zlib.crc32(piece, check)
                yield from writer.entry(_entry(instance, file.length, check), file.pieces())
        yield b"".join(writer.end())

    return Answer(headers, pieces(), is_lazy=True, waits_for_decoder=offer.is_only_if_named)


def _entry(instance: StoredInstance, length: int, crc32: int) -> ZipEntry:
    key = instance.key
    name = f"{key.study_instance_uid}/{key.series_instance_uid}/{key.sop_instance_uid}.dcm"
    return ZipEntry(name, length, crc32, instance.stored_at)
