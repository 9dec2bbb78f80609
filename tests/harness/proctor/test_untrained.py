"""Law 3: the network is judged before training where no method is, and once for all of them."""

import dataclasses
import signal

import pytest

from harness import study
from harness.engines.local import LocalEngine
from harness.isolation import sandbox
from harness.proctor import untrained
from harness.registry import registry

LEVELS = [
    pytest.param(
        "sandbox", marks=pytest.mark.skipif(bool(sandbox.why_not()), reason=sandbox.why_not())
    ),
    "process",
]
SCENARIO = "split-digits-class"

SEARCHES = """
import mmap
needle, rest = bytes.fromhex('{needle}'), bytes.fromhex('{rest}')
found, size = 0, 1 << 22
with open('/proc/self/mem', 'rb', 0) as memory, open('/proc/self/maps') as maps:
    for line in maps.read().splitlines():
        span, rights, *_ = line.split()
        begin, end = (int(part, 16) for part in span.split('-'))
        if not rights.startswith('rw') or line.endswith(('[vvar]', '[vsyscall]')):
            continue
        for place in range(begin, end, size):
            try:
                memory.seek(place)
                chunk = memory.read(min(size + 512, end - place))
            except (OSError, ValueError, OverflowError):
                continue
            at = chunk.find(needle)
            while at >= 0:
                after = chunk[at + len(needle):at + len(needle) + len(rest)]
                found += bytes(b ^ 255 for b in after) == rest
                at = chunk.find(needle, at + 1)
raise RuntimeError(f'FOUND {found}')
"""


@pytest.mark.parametrize("isolation", LEVELS)
def test_law_3_nothing_of_the_tests_is_in_a_methods_process(isolation, run, method_file):
    """A method that looks through its memory for a test input, half of which it knows as it is."""
    stream = registry.scenarios("continual")[SCENARIO].build("evaluation", 0)
    content = next(x for x in stream.tests[-1].inputs if x.ravel()[: x.size // 2].sum() > 0)
    content = content.tobytes()
    needle, rest = content[: len(content) // 2], content[len(content) // 2 :]
    code = SEARCHES.replace("{needle}", needle.hex())
    code = code.replace("{rest}", bytes(byte ^ 255 for byte in rest).hex())
    (record,) = run(method_file(start=code), isolation=isolation).results[0].evaluation
    assert "FOUND 0" in record.failure.reason
    searched = code.replace("raise RuntimeError", "held = content\nraise RuntimeError")
    searched = f"content = bytes.fromhex('{content.hex()}')\n{searched}"
    (record,) = run(method_file("b.py", start=searched), isolation=isolation).results[0].evaluation
    assert "FOUND 0" not in record.failure.reason, "it can find what is there"


def test_one_process_finds_it_for_all_methods(run, method_file, monkeypatch):
    asked = []
    judged = untrained.judged

    def counted(spec, exam, process):
        asked.append((spec.side, spec.seed))
        return judged(spec, exam, process)

    monkeypatch.setattr(untrained, "judged", counted)
    summary = run(method_file("a.py"), method_file("b.py"), seeds=2)
    found = [record.untrained_quality for r in summary.results for record in r.evaluation]
    assert sorted(asked) == [("evaluation", 0), ("evaluation", 1)]
    assert found[:2] == found[2:]
    assert all(quality is not None for quality in found)


def _broken(model, inputs, task, rng):
    raise ValueError("no such network")


def test_law_6_a_network_that_cannot_be_judged_is_no_methods_failure(
    engine, store, method_file, monkeypatch
):
    scenario = registry.scenarios("continual")[SCENARIO]
    broken = dataclasses.replace(scenario, infer=_broken)
    monkeypatch.setattr(registry, "scenarios", lambda *_: {SCENARIO: broken})
    request = study.Request(f"continual/{SCENARIO}", (method_file(),), protocol="untuned", seeds=1)
    summary = study.run(request, engine, store)
    (error,) = summary.errors
    assert "the untrained network of continual/split-digits-class could not be judged" in error
    assert "ValueError: no such network" in error
    assert not list(store.root.glob("continual/*/*.parquet"))


def test_its_process_is_kept_for_the_next_exam_and_replaced_when_it_has_ended(
    run, store, method_file, monkeypatch
):
    """Starting one costs more than judging; a process that somebody has ended is no failure."""
    pids = []
    judged = untrained.judged

    def noted(spec, exam, process):
        pids.append(process.pid)
        found = judged(spec, exam, process)
        if len(pids) == 2:
            process.signal(signal.SIGKILL)
        return found

    place, budget = f"continual/{SCENARIO}", {"epochs": "1"}
    request = study.Request(place, (method_file("a.py"),), protocol="untuned", seeds=4)
    request = dataclasses.replace(request, budget=budget)
    with monkeypatch.context() as patched, LocalEngine(jobs=1) as engine:
        patched.setattr(untrained, "judged", noted)
        summary = study.run(request, engine, store)
    assert not summary.errors
    assert pids[0] == pids[1] != pids[2] == pids[3]
    found = [record.untrained_quality for record in summary.results[0].evaluation]
    assert None not in found
    again = run(method_file("b.py"), seeds=4).results[0].evaluation
    assert found == [record.untrained_quality for record in again]
