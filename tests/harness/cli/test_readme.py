"""README, --help and behaviour say the same."""

import re
import resource

import click
import pytest

from harness.cli import COMMANDS, bench
from harness.registry import registry
from heldout_testing import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands():
    """Every command with its help text, groups opened."""
    found = {}
    queue = [("bench", bench)]
    while queue:
        name, command = queue.pop(0)
        context = click.Context(command, info_name=name)
        found[name] = command.get_help(context)
        if isinstance(command, click.Group):
            queue += [
                (f"{name} {sub}", command.get_command(context, sub))
                for sub in command.list_commands(context)
            ]
    return found


def reference():
    """The section of README between its marks, as it should be."""
    parts = []
    for name, text in commands().items():
        indented = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
        parts.append(f"### `{name}`\n\n{indented}\n")
    return "\n".join(parts)


def test_command_reference_is_what_help_prints():
    written = re.search(r"<!-- commands -->\n(.*?)<!-- end -->", README, re.S)
    assert written, "README has lost its marks"
    assert written[1].strip() == reference().strip(), (
        "README is behind --help; run: python tests/harness/cli/test_readme.py"
    )


@pytest.mark.parametrize("name", list(commands()))
def test_every_help_has_an_example(name):
    assert "Example:" in commands()[name]


def test_help_lists_every_command_and_loads_no_torch(bench):
    done = bench("--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"torch", "numpy", "pandas", "pyarrow", "scipy"}


@pytest.mark.parametrize(
    "arguments", [("list",), ("list", "methods"), ("list", "suites"), ("show", "er")]
)
def test_listing_loads_no_torch(arguments, bench):
    done = bench(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "sklearn", "scipy.stats"}


def test_help_answers_quickly(bench):
    def cpu_seconds():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    seconds = []
    for _ in range(5):  # CPU seconds, which other processes do not lengthen
        began = cpu_seconds()
        bench("--help")
        seconds.append(cpu_seconds() - began)
    assert min(seconds) < 0.25


def test_the_method_of_the_readme_runs_on_every_scenario(bench, tmp_path):
    source = re.search(r"<!-- file: mine.py -->\n```python\n(.*?)```", README, re.S)[1]
    assert len(source.splitlines()) <= 40
    (tmp_path / "mine.py").write_text(source)
    done = bench("run", "continual", "mine.py:Clipped", "--trials", "1", "--seeds", "1",
                 "--jobs", "2", "--budget", "epochs=2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    core = [s for s in registry.scenarios("continual").values() if s.tier == "core"]
    assert done.stdout.count("mine.py:Clipped") == len(core)


if __name__ == "__main__":
    marked = re.sub(
        r"(<!-- commands -->\n).*?(<!-- end -->)",
        lambda m: f"{m[1]}{reference()}{m[2]}",
        README,
        flags=re.S,
    )
    (ROOT / "README.md").write_text(marked, encoding="utf-8")
