"""`bench doctor`: what it says is what is there."""

from powercap import zone

from harness.checking import doctor
from harness.isolation import sandbox
from harness.metering import counters


def test_without_counters_nothing_is_called_measured(shared_engine):
    """Law 8."""
    said = doctor.examine_energy(found=())
    assert not any("measured" in finding for _, finding in said)
    assert ("believe", "nothing beyond CPU seconds: the figure is those times a constant") in said
    assert [subject for subject, finding in said if finding.startswith("unknown")] == [
        *("CPU", "memory", "GPU")
    ]


def test_with_a_counter_the_cpu_is_measured_and_the_rest_is_not(shared_engine, tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    found = [c for c in counters.find(tmp_path) if c.component == "package-0"]
    said = dict(doctor.examine_energy(0.01, found))
    assert said["package-0"] == "measured: idles at 0.0 W now"
    assert said["a run on the CPU"].startswith("measured")
    assert said["memory"].startswith("unknown")
    assert "GPU" in said


def test_the_command_says_it_in_words(bench_here):
    done = bench_here("doctor", "--energy")
    assert done.returncode == 0, done.stderr
    assert "a run on the CPU" in done.stdout


def test_law_3_the_sandbox_is_tried_before_it_is_named(shared_engine):
    said = [finding for _, finding in doctor.examine()]
    if why_not := sandbox.why_not():
        assert f"no sandbox: {why_not}" in said
    else:
        assert "sandbox, the default: tried now, and in force" in said
        assert any("Landlock" in finding for finding in said)


def test_without_a_sandbox_it_is_said_why(shared_engine, monkeypatch):
    monkeypatch.setattr(sandbox, "why_not", lambda: "the moon is full")
    assert ("isolation", "no sandbox: the moon is full") in doctor.examine()
