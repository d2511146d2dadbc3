"""Accounts of requests: each has its own, whatever thread works for it."""

from __future__ import annotations

import contextvars
import threading

from pacs.measured import stages
from pacs.measured.stages import INDEX, STORAGE, Stages


def in_context(account: Stages | None) -> None:
    stages.begin(account)
    with INDEX, STORAGE:
        pass
    stages.turned_out("transcoded")


def test_each_request_has_its_own_account() -> None:
    accounts = [Stages(), Stages()]
    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(in_context, account)) for account in accounts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for account in accounts:
        assert set(account.spent_s) == {"index", "storage"}
        assert all(seconds >= 0 for seconds in account.spent_s.values())
        assert account.kind == "transcoded"
    assert stages.current() is None


def test_who_works_for_no_request_pays_nothing() -> None:
    contextvars.copy_context().run(in_context, None)
    assert stages.current() is None


def test_time_inside_is_added_up_also_after_an_error() -> None:
    account = Stages()

    def failing() -> None:
        stages.begin(account)
        for _ in range(3):
            try:
                with INDEX:
                    raise ValueError
            except ValueError:
                pass

    contextvars.copy_context().run(failing)
    assert 0 <= account.spent_s["index"] < 1
