"""C-FIND: the index is asked, each match is one pending response (PS3.4 C.4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pacs import log
from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.command_builders import response_to
from pacs.dimse.messages.status import Status
from pacs.dimse.scp.identifier import MAX_IDENTIFIER_BYTES, Identifier, Key, decode_identifier
from pacs.dimse.scp.identifier_writer import encode_identifier
from pacs.dimse.scp.information_model import FIND_MODELS, QUERY_RETRIEVE_LEVEL, level_of, require_keys_above
from pacs.dimse.scp.query_extensions import QueryExtensions, query_extensions
from pacs.dimse.scp.service import Exchange
from pacs.dimse.scp.supported_keys import supported_keys
from pacs.model import DicomJson, Level, Match, Query
from pacs.part10.private_blocks import creator_tag, is_creator
from pacs.query import Search

RETRIEVE_AE_TITLE = 0x00080054
RETRIEVE_URL = 0x00081190
TIMEZONE_OFFSET_FROM_UTC = 0x00080201

_NOT_MATCHED = frozenset({QUERY_RETRIEVE_LEVEL, RETRIEVE_AE_TITLE})
"""About the request or the answer, not about what is looked for (PS3.4 C.4.1.1.3)."""


class QueryService:
    """Service class provider of C-FIND for the SOP classes of `FIND_MODELS`."""

    def __init__(self, search: Search, dicomweb_url: str | None = None) -> None:
        """`dicomweb_url` is where everybody reaches the Studies Service; without, answers have no Retrieve URL."""
        self._search = search
        self._dicomweb_url = dicomweb_url

    def serve(self, exchange: Exchange) -> None:
        request, syntax = exchange.command, exchange.context.transfer_syntax
        if request.command_field != CommandField.C_FIND_RQ:
            exchange.respond(response_to(request, Status.UNRECOGNIZED_OPERATION))
            return
        identifier = decode_identifier(exchange.read_data_set(MAX_IDENTIFIER_BYTES), syntax)
        model = FIND_MODELS[exchange.context.abstract_syntax]
        level = level_of(identifier, model)
        extensions = query_extensions(exchange.context.extended)
        if not extensions.is_relational:
            require_keys_above(identifier, model, level)
        asked = [key for key in identifier.keys if key.tag not in _NOT_MATCHED]
        # It is told, not looked for.
        wants_url = self._dicomweb_url is not None and any(key.tag == RETRIEVE_URL for key in asked)
        if wants_url:
            asked = [key for key in asked if key.tag != RETRIEVE_URL]
        query = _query(level, identifier, asked, extensions)
        searched = self._search.searchable_keys(query)
        answered = [key for key in asked if key.tag in supported_keys(level) or key.tag in searched]
        is_whole = len(answered) == len(asked) and not self._search.incomplete_keys(query)
        pending = Status.PENDING if is_whole else Status.PENDING_WITH_UNSUPPORTED_KEYS
        url = self._dicomweb_url if wants_url else None
        answer = _Answer(identifier, answered, level, exchange.peer.called_ae_title, extensions, url)
        sent = 0
        status, why = Status.SUCCESS, None
        for found in self._search.find(exchange.peer.principal, query):
            if exchange.is_cancelled():
                status = Status.CANCEL
                break
            if sent == self._search.max_results:
                # After the matches, which PS3.4 C.4.1.2.1 lets precede a failure: who shows a list shows these.
                status, why = Status.OUT_OF_RESOURCES, f"more than {sent} match: ask by ranges of dates, or more keys"
                break
            response = response_to(request, pending, has_data_set=True)
            exchange.respond(response, encode_identifier(answer.attributes(found), syntax, identifier.character_set))
            sent += 1
        log.event(
            "C-FIND answered",
            calling_ae_title=exchange.peer.calling_ae_title,
            query_retrieve_level=level,
            status=f"0x{status:04X}",
            matches=sent,
        )
        exchange.respond(response_to(request, status, error_comment=why))


def _query(level: Level, identifier: Identifier, asked: Iterable[Key], extensions: QueryExtensions) -> Query:
    # Keys of lower levels are looked for too, where the index can (Modality at study level is asked for often).
    return Query(
        level,
        tuple(_matches(asked)),
        include=frozenset({TIMEZONE_OFFSET_FROM_UTC}) if extensions.adjusts_time_zone else frozenset(),
        is_fuzzy=extensions.is_fuzzy,
        combines_date_and_time=extensions.combines_date_and_time,
        finds_empty=extensions.finds_empty,
        needs_all_values=extensions.needs_all_values,
        # Named in the request, it is the zone of the request's times whatever was agreed (PS3.4 C.2.2.2.5.2).
        timezone_offset=identifier.value(TIMEZONE_OFFSET_FROM_UTC),
    )


class _Answer:
    """Makes response identifiers of one request: the keys asked for and no others, unknown values with zero length."""

    def __init__(
        self,
        identifier: Identifier,
        keys: Iterable[Key],
        level: Level,
        retrieve_ae_title: str,
        extensions: QueryExtensions,
        dicomweb_url: str | None,
    ) -> None:
        self._dicomweb_url = dicomweb_url
        self._keys = tuple(keys)
        self._fixed: DicomJson = {
            "00080052": {"vr": "CS", "Value": [level.value]},
            # Whoever sees a match can retrieve it here (PS3.4 C.4.1.1.3.2).
            "00080054": {"vr": "AE", "Value": [retrieve_ae_title]},
        }
        self._tells_time_zone = extensions.adjusts_time_zone

    def attributes(self, found: DicomJson) -> DicomJson:
        answer = _asked(self._keys, found)
        if self._tells_time_zone and found.get("00080201", {}).get("Value"):
            # Dates and times of the answer are those of the data; this is where they are meant (PS3.4 C.4.1.1.3.2).
            answer["00080201"] = found["00080201"]
        if self._dicomweb_url is not None:
            url = _retrieve_url(self._dicomweb_url, found)
            answer["00081190"] = {"vr": "UR", "Value": [url]} if url else {"vr": "UR"}
        answer.update(self._fixed)
        return answer


_PATHS = (("studies", "0020000D"), ("series", "0020000E"), ("instances", "00080018"))


def _retrieve_url(dicomweb_url: str, found: DicomJson) -> str | None:
    """Where WADO-RS has what was found (PS3.18 §10.4); a patient is no resource there."""
    uids = [(name, (found.get(tag, {}).get("Value") or [None])[0]) for name, tag in _PATHS]
    path = "".join(f"/{name}/{uid}" for name, uid in uids if uid)
    return dicomweb_url + path if path else None


def _asked(keys: Iterable[Key], found: DicomJson) -> DicomJson:
    """The attributes of `found` that `keys` name; a sequence's items hold only what its item asks for.

    A Private Creator is told with what is in its block; one without a name would reserve nothing (PS3.5 §7.8.1).
    """
    answer: DicomJson = {}
    for key in keys:
        name = f"{key.tag:08X}"
        if is_creator(key.tag):
            continue
        creator = creator_tag(key.tag)
        if creator is not None and (whose := found.get(f"{creator:08X}")):
            answer[f"{creator:08X}"] = whose
        attribute: dict[str, Any] = found.get(name, {"vr": key.vr})
        if key.item and attribute.get("vr") == "SQ":
            items = [_asked(key.item, item or {}) for item in attribute.get("Value") or []]
            attribute = {"vr": "SQ", "Value": items}
        answer[name] = attribute
    return answer


def _matches(keys: Iterable[Key], above: tuple[int, ...] = ()) -> Iterator[Match]:
    for key in keys:
        path = (*above, key.tag)
        if key.item:
            yield from _matches(key.item, path)
        else:
            # The request's own time zone says how its times are meant; it is nothing to look for.
            yield Match(path, key.values if key.tag != TIMEZONE_OFFSET_FROM_UTC else ())
