"""What is done again, and that nothing else is: each in a run of pytest of its own."""

from __future__ import annotations

import pytest

from tests.standing_still import TRIES

pytest_plugins = ["pytester"]

_TEST = """
import os, signal, subprocess
from pathlib import Path
import pytest

def stand_still():
    with subprocess.Popen(["sh", "-c", f"sleep 0.4; kill -CONT {os.getpid()}"]):
        os.kill(os.getpid(), signal.SIGSTOP)

@pytest.fixture
def number():
    runs = Path("runs")
    runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
    return len(runs.read_text())

@pytest.mark.real_time(0.2)
def test_of_time(number):
"""


@pytest.mark.parametrize(
    ("body", "runs", "passed"),
    [
        ("    if number < 3:\n        stand_still()\n        assert False\n", 3, 1),
        ("    stand_still()\n    assert False\n", TRIES, 0),
        ("    assert False\n", 1, 0),
        ("    stand_still()\n", 1, 1),
    ],
    ids=["done again", "not for ever", "failed while the machine ran", "passed all the same"],
)
def test_only_who_failed_while_the_machine_stood_still(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str, runs: int, passed: int
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take seconds to load
    pytester.makepyfile(_TEST + body)
    found = pytester.runpytest_subprocess("-p", "tests.standing_still", "-p", "no:cacheprovider", "--strict-markers")
    found.assert_outcomes(passed=passed, failed=1 - passed)
    assert (pytester.path / "runs").read_text() == "x" * runs
