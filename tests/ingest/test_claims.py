from __future__ import annotations

import threading

import pytest

from pacs.ingest.claims import Claims


def test_one_at_a_time_for_one_instance_and_all_at_once_for_others() -> None:
    claims, inside, most = Claims(), [], []
    both_in = threading.Barrier(2)

    def same() -> None:
        with claims.held("default", "1.2.3"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    def other(uid: str) -> None:
        with claims.held("default", uid):
            both_in.wait(timeout=30)

    threads = [threading.Thread(target=same) for _ in range(16)]
    threads += [threading.Thread(target=other, args=(uid,)) for uid in ("1.1", "1.2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 16


def test_a_claim_ends_with_an_error() -> None:
    claims = Claims()
    with pytest.raises(RuntimeError), claims.held("default", "1.2.3"):
        raise RuntimeError
    with claims.held("default", "1.2.3"):
        pass
