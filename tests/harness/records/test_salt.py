"""The salt of a results folder: public, private, disclosed, lost."""

import json
import stat
from pathlib import Path

import pytest

from harness.errors import HeldoutError
from harness.records import salt

PUBLIC = salt.digest(salt.PUBLIC)


@pytest.fixture
def private(store):
    """The folder of a store with a salt of its own, and that salt."""
    return store.root, salt.make(store.root)


def test_a_folder_has_the_public_salt_unless_it_gets_one(store, tmp_path):
    for root in (store.root, tmp_path / "none"):
        assert salt.of_folder(root) == salt.in_use(root)
        assert salt.of_folder(root) == salt.Salt(PUBLIC, salt.PUBLIC, disclosed=True)


def test_a_private_salt_is_kept_from_others_and_its_digest_is_told(private):
    root, made = private
    assert len(made.value) == 32
    assert stat.S_IMODE((root / ".salt").stat().st_mode) == 0o600
    assert (root / ".gitignore").read_text() == "/.salt\n"
    assert json.loads((root / "salt.json").read_text()) == {"sha256": made.sha256, "salt": None}
    assert made.value.hex() not in (root / "salt.json").read_text()
    assert salt.of_folder(root) == made
    assert not made.disclosed
    assert made.value.hex() not in repr(made)
    assert repr(made.value) not in repr(made)


def test_what_git_ignored_before_it_still_does(store):
    (store.root / ".gitignore").write_text("*.tmp")
    salt.make(store.root)
    assert (store.root / ".gitignore").read_text() == "*.tmp\n/.salt\n"


def test_no_two_folders_get_the_same(store, tmp_path):
    (tmp_path / "other").mkdir()
    assert salt.make(store.root).value != salt.make(tmp_path / "other").value


def test_a_second_salt_is_refused(private):
    with pytest.raises(HeldoutError, match="has a salt already"):
        salt.make(private[0])


def test_a_folder_with_salted_runs_gets_no_other_salt(store, make_record):
    store.put(make_record(contract=2, salt_sha256=PUBLIC))
    with pytest.raises(HeldoutError, match=f"1 of its runs have the salt {PUBLIC[:12]}"):
        salt.make(store.root)
    assert not (store.root / ".salt").exists()


def test_runs_of_the_first_contract_are_of_no_salt(store, make_record):
    spec = make_record().spec
    store.put(make_record())
    salt.make(store.root)
    assert salt.of_run(store.root, spec) == b""


def test_a_disclosed_salt_is_used_without_the_secret_file(private):
    root, made = private
    assert salt.disclose(root).disclosed
    (root / ".salt").unlink()
    assert salt.in_use(root).value == made.value
    assert salt.in_use(root).sha256 == made.sha256
    assert salt.disclose(root) == salt.of_folder(root)


def test_there_is_nothing_to_disclose_of_the_public_salt(store):
    with pytest.raises(HeldoutError, match="nothing to disclose"):
        salt.disclose(store.root)


def test_a_lost_salt_is_said_with_what_to_do(private):
    root, made = private
    (root / ".salt").unlink()
    assert salt.of_folder(root) == salt.Salt(made.sha256, None, disclosed=False)
    for needing in (salt.in_use, salt.disclose):
        with pytest.raises(HeldoutError, match=r"put the file \.salt of whoever made it"):
            needing(root)


def test_a_salt_without_its_statement_is_one_all_the_same(private):
    root, made = private
    (root / "salt.json").unlink()
    assert salt.of_folder(root) == made


@pytest.mark.parametrize("where", [".salt", "salt.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b"zz", b"ab" * 31, b"null"])
def test_a_damaged_file_is_named(private, where, content):
    root, _ = private
    (root / where).write_bytes(content)
    with pytest.raises(HeldoutError, match=where.replace(".", r"\.")):
        salt.of_folder(root)


def test_a_salt_that_is_not_the_stated_one_is_refused(private, tmp_path):
    root, made = private
    (root / ".salt").write_text("00" * 32)
    with pytest.raises(HeldoutError, match=r"\.salt: the salt in it is not the one"):
        salt.of_folder(root)
    stated = {"sha256": made.sha256, "salt": "11" * 32}
    (root / "salt.json").write_text(json.dumps(stated))
    with pytest.raises(HeldoutError, match=r"salt\.json: the salt in it is not the one"):
        salt.in_use(root)


def test_law_10_a_run_gets_the_salt_that_its_key_says(private, make_record, tmp_path):
    root, made = private

    def of(sha256, where=root):
        return salt.of_run(where, make_record(contract=2, salt_sha256=sha256).spec)

    assert of(made.sha256) == made.value
    assert of(PUBLIC) == of(PUBLIC, tmp_path / "other") == salt.PUBLIC
    for sha256 in ("", "00" * 32):
        with pytest.raises(HeldoutError, match="use the results folder that the run belongs to"):
            of(sha256)
    with pytest.raises(HeldoutError, match="use the results folder that the run belongs to"):
        of(made.sha256, tmp_path / "other")


def test_a_lent_salt_is_as_secret(private, tmp_path):
    root, made = private
    salt.lend(root, tmp_path)
    assert salt.of_folder(tmp_path) == made
    assert stat.S_IMODE((tmp_path / ".salt").stat().st_mode) == 0o600


def test_from_the_command_line(bench_here, tmp_path):
    assert f"public, SHA-256 {PUBLIC}" in bench_here("salt", "show").stdout
    made = bench_here("salt", "new")
    assert (made.returncode, made.stderr) == (0, "")
    value, sha256 = (
        (tmp_path / "results" / ".salt").read_text(),
        salt.of_folder(tmp_path / "results").sha256,
    )
    assert sha256 in made.stdout
    shown = bench_here("salt", "show").stdout
    assert shown == f"private, SHA-256 {sha256}\n"
    assert value not in made.stdout + shown
    again = bench_here("salt", "new")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith(
        f"bench: {Path('results') / salt.SECRET}: the folder has a salt already"
    )
    assert bench_here("salt", "disclose").returncode == 0
    assert bench_here("salt", "show").stdout == f"disclosed, SHA-256 {sha256}\n"
    assert value in (tmp_path / "results" / "salt.json").read_text()
    refused = bench_here("salt", "new", "--results", tmp_path)
    assert refused.returncode == 2
    assert "no results folder of ours" in refused.stderr
