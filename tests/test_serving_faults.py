"""The running service is broken on purpose, with the tiny model: what callers saw, and that it came back."""

from __future__ import annotations

import os

import pytest

from benchmarks.fault_scenarios import Fault
from benchmarks.fault_stage import Heard, Seen
from benchmarks.faults import SCENARIOS, document, main, try_fault
from tests.conftest import script

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packaged(exported, tmp_path_factory):
    """Environment of a store in which the tiny model is packaged and pinned as both champions."""
    home = tmp_path_factory.mktemp("bento")
    environment = {
        "BENTOML_HOME": str(home),
        "KEFU_PINS": str(home / "champions.json"),
        "KEFU_THREADS": "1",
    }
    code = f"""
from pathlib import Path
from serving.package import Champion, package
folder = Path({str(exported)!r})
package([Champion(task, f"kefu-{{task}}", "1", folder) for task in ("category", "emotion")])
"""
    script(code, home, **{**os.environ, **environment})
    return environment


@pytest.mark.parametrize("name", SCENARIOS)
def test_fault(packaged, monkeypatch, name):
    for variable, value in packaged.items():
        monkeypatch.setenv(variable, value)
    fault = try_fault(name)
    assert fault.good, fault
    # What good means, said once more and apart from the scenarios' own checks.
    allowed = {
        "killed-1": {"200", "lost"},
        "killed-2": {"200", "lost"},
        "stopped": {"200", "refused"},
        "overload": {"200", "503"},
    }.get(name, {"200"})
    assert set(fault.counts) <= allowed, fault
    assert fault.counts["200"] > 50, fault
    if not name.startswith("killed"):
        assert fault.lost == 0, fault
    assert fault.gap < 15, fault


def test_what_callers_saw_is_summed():
    heard = [
        Heard(0.0, 1.0, "200"),
        Heard(1.0, 1.5, "lost"),
        Heard(1.0, 1.6, "too late"),
        Heard(2.0, 2.1, "refused"),
        Heard(2.5, 4.0, "200"),
        Heard(4.0, 4.5, "200"),
    ]
    seen = Seen(heard)
    assert dict(seen.counts) == {"200": 3, "lost": 1, "too late": 1, "refused": 1}
    assert seen.lost == 2
    assert seen.gap == 3.0
    assert seen.recovered(2.0) == 2.0
    assert seen.recovered(5.0) == float("inf")
    assert seen.after(2.0).counts["200"] == 2
    assert Seen().gap == 0.0


def test_the_page_names_what_is_not_as_it_should_be():
    rows = [
        Fault("a", "a broke", {"200": 1234}, 0, 0.1, 0.2, True, "calm"),
        Fault("b", "b broke | badly", {"200": 1, "lost": 2}, 2, 9.0, float("inf"), False, "FAILED: all"),
    ]
    page = document(rows, {"cpu": "a CPU", "cores": 2})
    assert "| a broke | 1,234 × 200 | 0.1 s | 0.2 s | as it should: calm |" in page
    assert "**NOT as it should**: FAILED: all" in page
    assert "badly | 1 × 200, 2 × lost" in page
    assert "a CPU, 2 cores" in page


def test_the_command_writes_the_page_and_says_when_something_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    good = Fault("stopped", "it", {"200": 1}, 0, 0.1, 0.2, True, "calm")
    outcomes = {"good": good, "bad": Fault("x", "it", {"lost": 1}, 1, 0.1, 0.2, False, "FAILED: all")}
    for name, status in (("good", 0), ("bad", 1)):
        monkeypatch.setattr("benchmarks.faults.try_fault", lambda _, name=name: outcomes[name])
        assert main(["--only", "stopped", "--output", str(tmp_path / "faults.md")]) == status
        assert outcomes[name].notes in (tmp_path / "faults.md").read_text(encoding="utf-8")
