"""The worklist: every operation of PS3.4 Annex CC on a hospital's workitems, whoever asks for it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pacs import log
from pacs.errors import Busy, InvalidRequest, NotFound
from pacs.index import Index
from pacs.index.allowance import Allowance
from pacs.index.page_marks import question_of
from pacs.index.subscriptions import Event, GlobalSubscription, WaitingEvent
from pacs.index.workitems import ChangedWorkitem, KeptWorkitem
from pacs.model import DicomJson, Principal, Query, checked_uid
from pacs.settings import SearchSettings, WorklistSettings
from pacs.turns import Turns
from pacs.worklist import matching, paging, reports
from pacs.worklist.attributes import key_of
from pacs.worklist.cancellation import UNSPECIFIED, with_cancellation
from pacs.worklist.checks import STATE, TRANSACTION_UID, UPS_PUSH, check_created, check_set, missing_for
from pacs.worklist.data_sets import date_time, first_text, has_value, normal_form
from pacs.worklist.guards import check_claim, check_subscriber, checked_transaction_uid, checked_workitem_uid, present
from pacs.worklist.refusals import NobodyListens, NoLongerChanged, NotClaimed, TransactionUidMissing, WrongState
from pacs.worklist.reports import FILTERED_GLOBAL_SUBSCRIPTION, GLOBAL_SUBSCRIPTION, Report
from pacs.worklist.states import CHANGES, FINAL, Answer, State

_MODIFIED: Final = key_of("ScheduledProcedureStepModificationDateTime")
_LABEL: Final = key_of("WorklistLabel")
_SOP_CLASS_UID: Final = key_of("SOPClassUID")
_SOP_INSTANCE_UID: Final = key_of("SOPInstanceUID")
_GLOBAL: Final = frozenset({GLOBAL_SUBSCRIPTION, FILTERED_GLOBAL_SUBSCRIPTION})


@dataclass(frozen=True, slots=True)
class Created:
    """A new workitem."""

    workitem_uid: str
    is_modified: bool
    """Something that came was replaced or filled in (B300)."""


class Worklist:
    """Thread-safe; every process may have one. What a method has answered is durable.

    `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        index: Index,
        settings: WorklistSettings | None = None,
        search: SearchSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        search = search or SearchSettings()
        self.settings = settings or WorklistSettings()
        self._rows = index.workitems
        self._subscriptions = index.workitems.subscriptions
        self._clock = clock
        self._deadline_s = search.deadline_s
        self._turns = Turns(
            at_once=search.at_once_per_hospital, waiting=search.waiting_per_hospital, wait_s=search.deadline_s
        )

    # -- workitems

    def create(self, principal: Principal, workitem_uid: str | None, attributes: Any) -> Created:
        """A new workitem, SCHEDULED (PS3.4 CC.2.5.3). Its UID is given beside it or in it.

        Raises:
            MalformedDataSet: `attributes` is no data set.
            InvalidIdentity: the UID is missing or none.
            InvalidRequest: it does not meet Table CC.2.5-3; names all that is wrong.
            Conflict: the UID is or was in use.
        """
        workitem = normal_form(attributes)
        own = first_text(workitem, _SOP_INSTANCE_UID)
        uid = checked_uid(workitem_uid or own, "The workitem's UID")
        if own and own != uid:
            raise InvalidRequest(f"the workitem has the UID {own[:64]!r} in it and {uid} beside it")
        check_created(workitem)
        was = dict(workitem)
        workitem.pop(TRANSACTION_UID, None)
        workitem[_SOP_CLASS_UID] = {"vr": "UI", "Value": [UPS_PUSH]}
        workitem[_SOP_INSTANCE_UID] = {"vr": "UI", "Value": [uid]}
        workitem[_MODIFIED] = {"vr": "DT", "Value": [date_time(self._clock())]}
        if not has_value(workitem[_LABEL]):
            workitem[_LABEL] = {"vr": "LO", "Value": [self.settings.default_label]}
        workitem = dict(sorted(workitem.items()))
        is_modified = has_value(was.get(_MODIFIED)) or was[_LABEL] != workitem[_LABEL]
        self._rows.create(
            principal.hospital,
            uid,
            State.SCHEDULED,
            workitem,
            _events(reports.of_new(workitem)),
            lambda one: matching.matches(workitem, matching.from_text(one.keys) if one.keys else ()),
        )
        log.event("workitem created", workitem_uid=uid, hospital=principal.hospital)
        return Created(uid, is_modified)

    def retrieve(self, principal: Principal, workitem_uid: str) -> DicomJson:
        """Every attribute but the Transaction UID.

        Raises:
            InvalidIdentity, NotFound, DeletedWorkitem
        """
        return present(self._rows.get(principal.hospital, checked_workitem_uid(workitem_uid)), workitem_uid).attributes

    def update(self, principal: Principal, workitem_uid: str, transaction_uid: str, attributes: Any) -> bool:
        """Set attributes (N-SET, PS3.4 CC.2.6.3), all of them or none; sequences are replaced as a whole. Whether
        something that came was replaced.

        Args:
            transaction_uid: empty when none was given beside the attributes; they may have it.

        Raises:
            MalformedDataSet, InvalidIdentity, InvalidRequest, NotFound, DeletedWorkitem
            TransactionUidMissing, TransactionUidIncorrect: it is IN PROGRESS for somebody else.
            NotClaimed: a Transaction UID was given and it is SCHEDULED.
            NoLongerChanged: it has ended.
        """
        changes = normal_form(attributes)
        own = first_text(changes, TRANSACTION_UID)
        changes.pop(TRANSACTION_UID, None)
        if own and transaction_uid and own != transaction_uid:
            raise InvalidRequest("the Transaction UID in the workitem is not the one in the URL")
        claim = checked_transaction_uid(transaction_uid or own)
        if first_text(changes, _SOP_INSTANCE_UID) == workitem_uid:  # says nothing new
            changes.pop(_SOP_INSTANCE_UID)
        check_set(changes)
        is_modified = has_value(changes.get(_MODIFIED))
        changes[_MODIFIED] = {"vr": "DT", "Value": [date_time(self._clock())]}

        def decide(found: KeptWorkitem | None, _is_watched: bool) -> ChangedWorkitem:
            kept = present(found, workitem_uid)
            if kept.state in FINAL:
                raise NoLongerChanged(f"The workitem is {kept.state} and may no longer be updated")
            if kept.state == State.SCHEDULED and claim:
                raise NotClaimed("The workitem is SCHEDULED: nobody has claimed it, so there is no Transaction UID yet")
            if kept.state == State.IN_PROGRESS:
                check_claim(kept, claim)
            after = dict(sorted({**kept.attributes, **changes}.items()))
            events = _events(reports.of_change(kept.attributes, after))
            return ChangedWorkitem(kept.state, kept.transaction_uid, after, events)

        self._rows.change(principal.hospital, checked_workitem_uid(workitem_uid), decide)
        return is_modified

    def change_state(self, principal: Principal, workitem_uid: str, attributes: Any) -> State | None:
        """Claim, complete or cancel a workitem (PS3.4 CC.2.1.3, Table CC.1.1-2). The state, when it has it already.

        Raises:
            MalformedDataSet, InvalidIdentity, InvalidRequest, NotFound, DeletedWorkitem
            TransactionUidMissing, TransactionUidIncorrect
            WrongState: no such change from the state that it has, or attributes that the final state needs are missing.
        """
        request = normal_form(attributes)
        word = first_text(request, STATE).replace("CANCELLED", "CANCELED")  # PS3.18 §11.7.1.4 has both spellings
        if word not in set(State):
            raise InvalidRequest(f"ProcedureStepState {word[:20]!r} is none of IN PROGRESS, COMPLETED, CANCELED")
        asked, claim = State(word), checked_transaction_uid(first_text(request, TRANSACTION_UID))
        already: list[State] = []

        def decide(found: KeptWorkitem | None, _is_watched: bool) -> ChangedWorkitem | None:
            kept = present(found, workitem_uid)
            if not claim:
                raise TransactionUidMissing("The Transaction UID (0008,1195) is missing")
            if kept.transaction_uid:
                check_claim(kept, claim)
            match CHANGES[asked][State(kept.state)]:
                case Answer.ALREADY_COMPLETED | Answer.ALREADY_CANCELED:
                    already.append(asked)
                    return None
                case Answer.CHANGE:
                    return self._changed(kept, asked, claim)
                case Answer.ONLY_BY_CREATE:
                    raise WrongState("A workitem becomes SCHEDULED only when it is created")
                case Answer.NOT_YET_IN_PROGRESS:
                    raise WrongState(f"The workitem is SCHEDULED; claim it (IN PROGRESS) before it becomes {asked}")
                case _:
                    raise WrongState(f"The workitem is {kept.state} already")

        self._rows.change(principal.hospital, checked_workitem_uid(workitem_uid), decide)
        if not already:
            log.event("workitem changed its state", workitem_uid=workitem_uid, state=str(asked))
        return already[0] if already else None

    def _changed(self, kept: KeptWorkitem, asked: State, claim: str) -> ChangedWorkitem:
        after = dict(kept.attributes)
        if asked is State.CANCELED:
            after = with_cancellation(after, {}, self._clock())
        if asked in FINAL and (missing := missing_for(after, asked)):
            raise WrongState(
                f"The workitem cannot become {asked} before these have values (PS3.4 Table CC.2.5-3): "
                + ", ".join(missing)
            )
        after[STATE] = {"vr": "CS", "Value": [str(asked)]}
        return ChangedWorkitem(asked, claim, after, _events(reports.of_change(kept.attributes, after)))

    def request_cancel(self, principal: Principal, workitem_uid: str, attributes: Any) -> bool:
        """Somebody who does not own the workitem wants it cancelled (PS3.4 CC.2.2.3). Whether it is CANCELED already.

        A SCHEDULED one becomes CANCELED; of one IN PROGRESS those who are subscribed are told, its owner decides.

        Raises:
            MalformedDataSet, InvalidIdentity, NotFound, DeletedWorkitem
            WrongState: it is COMPLETED.
            NobodyListens: it is IN PROGRESS and nobody is subscribed, so its owner cannot hear of it.
        """
        information = normal_form(attributes)
        requester = principal.name.upper().encode("ascii", "replace").decode()[:16]
        already = []

        def decide(found: KeptWorkitem | None, is_watched: bool) -> ChangedWorkitem | None:
            kept = present(found, workitem_uid)
            match State(kept.state):
                case State.CANCELED:
                    already.append(True)
                    return None
                case State.COMPLETED:
                    raise WrongState("The workitem is COMPLETED already")
                case State.IN_PROGRESS:
                    if not is_watched:
                        raise NobodyListens("The performer cannot be told: nobody is subscribed to the workitem")
                    told = _events([reports.cancel_requested(requester, information)])
                    return ChangedWorkitem(kept.state, kept.transaction_uid, kept.attributes, told)
                case State.SCHEDULED:
                    return self._cancelled(kept, information)

        self._rows.change(principal.hospital, checked_workitem_uid(workitem_uid), decide)
        return bool(already)

    def _cancelled(self, kept: KeptWorkitem, information: DicomJson) -> ChangedWorkitem:
        """First IN PROGRESS, then CANCELED, as CC.2.2.3 has it."""
        between = {**kept.attributes, STATE: {"vr": "CS", "Value": [str(State.IN_PROGRESS)]}}
        after = with_cancellation(between, information, self._clock(), UNSPECIFIED)
        after[STATE] = {"vr": "CS", "Value": [str(State.CANCELED)]}
        told = [*reports.of_change(kept.attributes, between), *reports.of_change(between, after)]
        return ChangedWorkitem(State.CANCELED, "", after, _events(told))

    def search(self, principal: Principal, query: Query) -> Iterator[DicomJson]:
        """All matching workitems, in the order in which they were created, with the attributes that are asked for.

        The keys are checked before this returns.

        Raises:
            InvalidRequest: a key cannot be understood.
            TooBroad, Busy: as `pacs.query.Search.find` (also while iterating).
        """
        keys = matching.keys_of(query)
        found = self._candidates(principal, keys, 0)
        return (
            matching.shown(kept.attributes, query, keys) for kept in found if matching.matches(kept.attributes, keys)
        )

    def page(self, principal: Principal, query: Query, most: int, *, client: str = "") -> tuple[list[DicomJson], bool]:
        """`most` of what `search` gives, from the query's `offset` on, and whether there may be more; see `paging`.
        `client` tells apart who pages by one name.

        Raises: as `search`.
        """
        keys = matching.keys_of(query)
        question = question_of(principal.hospital, f"worklist {principal.name}\n{client}", query)
        candidates = functools.partial(self._candidates, principal, keys)
        return paging.page(candidates, keys, query, most, self._rows.marks, question)

    def _candidates(self, principal: Principal, keys: matching.Keys, after: int) -> Iterator[KeptWorkitem]:
        allowance = Allowance(self._deadline_s, lambda: self._turns.of(principal.hospital))
        columns = matching.equal_columns(keys)
        return self._rows.search(principal.hospital, columns, allowance, keys=keys, after=after)

    # -- subscriptions

    def subscribe(
        self, principal: Principal, workitem_uid: str, subscriber: str, *, is_locking: bool, query: Query | None = None
    ) -> None:
        """Subscribe an AE title to a workitem, or to the whole worklist by one of the well-known UIDs (CC.2.3.3).

        Args:
            query: the filter, for the filtered worklist alone.

        Raises:
            InvalidIdentity, InvalidRequest, NotFound, DeletedWorkitem
            Busy: too many others are subscribed (`worklist.max_subscribers`).
        """
        uid, hospital = checked_workitem_uid(workitem_uid), principal.hospital
        check_subscriber(subscriber)
        if (query is not None and bool(query.matches)) != (uid == FILTERED_GLOBAL_SUBSCRIPTION):
            raise InvalidRequest(f"a filter goes with {FILTERED_GLOBAL_SUBSCRIPTION}, and with nothing else")
        known = self._subscriptions.subscribers(hospital)
        if subscriber not in known and len(known) >= self.settings.max_subscribers:
            raise Busy(f"{len(known)} AE titles have subscriptions already (worklist.max_subscribers)")
        if uid in _GLOBAL:
            keys = matching.keys_of(query) if query else ()
            wanted = GlobalSubscription(hospital, subscriber, uid, is_locking, matching.as_text(query) if query else "")
            self._rows.subscribe_to_all(
                wanted,
                lambda kept: matching.matches(kept.attributes, keys),
                # Only who holds what is there from deletion is told of all of it (CC.2.4.3).
                lambda kept: _events([reports.state_report(kept.attributes)]) if is_locking else (),
            )
        else:
            found = self._rows.subscribe(
                hospital, subscriber, uid, is_locking=is_locking,
                initial=lambda kept: _events([reports.state_report(kept.attributes)]),
            )  # fmt: skip
            present(found, uid)
        log.event("subscribed to workitems", subscriber=subscriber, workitem_uid=uid, is_locking=is_locking)

    def unsubscribe(self, principal: Principal, workitem_uid: str, subscriber: str) -> None:
        """End a subscription. That to the whole worklist ends all of the subscriber, a filtered one what it made.

        Raises:
            InvalidIdentity, InvalidRequest
            NotFound: there is no such subscription.
        """
        uid, hospital = checked_workitem_uid(workitem_uid), principal.hospital
        check_subscriber(subscriber)
        if uid in _GLOBAL:
            is_ended = self._subscriptions.unsubscribe_from_all(
                hospital, subscriber, uid, every_kind=uid == GLOBAL_SUBSCRIPTION
            )
        else:
            is_ended = self._subscriptions.unsubscribe(hospital, subscriber, uid)
        if not is_ended:
            raise NotFound(f"{subscriber} has no such subscription")

    def suspend(self, principal: Principal, workitem_uid: str, subscriber: str) -> None:
        """New workitems are no longer subscribed to; those that are stay so (PS3.18 §11.12).

        Raises:
            InvalidIdentity, InvalidRequest
            NotFound: there is no such subscription.
        """
        uid = checked_workitem_uid(workitem_uid)
        check_subscriber(subscriber)
        if uid not in _GLOBAL:
            raise InvalidRequest("only a subscription to the worklist can be suspended (PS3.18 Table 11.12.1-1)")
        if not self._subscriptions.suspend(principal.hospital, subscriber, uid):
            raise NotFound(f"{subscriber} has no such subscription")

    # -- events

    def waiting(self, hospital: str, subscriber: str, after: int, limit: int) -> list[tuple[int, DicomJson]]:
        """Event reports that a subscriber is still to be told, each with its number, in order."""
        found = self._subscriptions.waiting(hospital, subscriber, after, limit)
        return [(one.number, _report(one)) for one in found]

    def newest(self) -> int:
        """The number of the newest event that waits for anybody."""
        return self._subscriptions.newest()

    def news(self, after: int) -> tuple[int, set[tuple[str, str]]]:
        """The newest event's number, and hospital and subscriber of those since `after`."""
        return self._subscriptions.news(after)

    def delivered(self, hospital: str, subscriber: str, number: int) -> None:
        """A subscriber knows its events up to this one."""
        self._subscriptions.delivered(hospital, subscriber, number)

    # -- background

    def announce_restart(self) -> None:
        """Tell all subscribers that the archive was started again; nothing is lost, so both lists are warm."""
        self._subscriptions.tell_everybody(GLOBAL_SUBSCRIPTION, _events([reports.restarted()])[0])

    def forget(self) -> None:
        """Delete what has ended long ago and nobody holds; drop events that waited too long."""
        now = self._clock()
        deleted = self._rows.delete_ended([str(state) for state in FINAL], now - self.settings.keep_ended_s)
        if deleted:
            log.event("ended workitems deleted", workitems=deleted)
        dropped = self._subscriptions.forget(now - self.settings.keep_events_s, self.settings.max_waiting_events)
        if dropped:
            log.warning("events of workitems dropped", events=dropped, why="nobody fetched them")


def _events(found: Iterable[Report]) -> Sequence[Event]:
    return [Event(int(one.event_type), one.attributes) for one in found]


def _report(waiting: WaitingEvent) -> DicomJson:
    event = waiting.event
    report = Report(reports.EventType(event.event_type), event.attributes)
    # Message ID is a number of 16 bits; the same event sent again has the same one.
    return report.data_set(waiting.workitem_uid, (waiting.number - 1) % 65535 + 1)
