"""What a method learns from `problem.rng.initial_seed()`, and how a salt puts an end to it.

The thief tries every seed that a run may have, under both rules and with the salt that everybody
knows, until one gives the generator that it was handed; then it draws the answers itself.
"""

import dataclasses

import pytest

from harness import protocol, study
from harness.checking import repeating, verification
from harness.records import salt
from harness.records.record import SET_BY_HARNESS
from harness.registry import registry
from heldout_testing import records_under

THIEF = """
from dataclasses import dataclass
import numpy as np
import torch
from harness import seeds

SALTS = ((1, b""), (2, b"heldout: the public salt"))
NUMBERS = {"tuning": range(1_000_000, 1_000_010), "evaluation": range(10)}

def data_seeds(first):
    for contract, salt in SALTS:
        for side, numbers in NUMBERS.items():
            for number in numbers:
                run = ("toy-codes", "numbers", side, number)
                rule = {"contract": contract, "salt": salt}
                if seeds.of_run(*run, **rule).method == first:
                    yield seeds.of_data(*run, **rule)

@dataclass
class Thief:
    def start(self, problem):
        self.found = [*data_seeds(problem.rng.initial_seed())]

    def learn(self, experience):
        for x, y in experience.batches(5):
            pass

    def predict(self, inputs):
        if not self.found:
            return torch.zeros(len(inputs), dtype=torch.int64)
        drawn = np.random.default_rng([2, self.found[0]]).integers(0, 10, 200)
        return torch.from_numpy(drawn)[inputs[:, 0].long()]
"""
CHANCE = 0.2  # 200 answers out of ten: right by accident in 0.1 of them


@pytest.fixture
def rob(toy, engine, store, tmp_path):
    """The record of a thief under a version of the contract."""
    path = tmp_path / "thief.py"
    path.write_text(THIEF)

    def go(contract, seeds=1):
        request = study.Request("toy-codes/numbers", (f"{path}:Thief",), seeds=seeds)
        return records_under(contract, request, engine, store)

    return go


def test_law_3_under_the_first_contract_seeds_tell_the_data(rob):
    """Why there is a salt: the seed is one of few, and everybody can try them all."""
    (record,) = rob(1)
    assert (record.score, record.spec.salt_sha256) == (1.0, "")


def test_law_3_with_the_public_salt_they_still_do(rob):
    """As docs/limits.md says: it is there so that numbers repeat anywhere, not to keep a secret."""
    (record,) = rob(2)
    assert (record.score, record.spec.salt_sha256) == (1.0, salt.digest(salt.PUBLIC))


def test_law_3_with_a_private_salt_they_tell_nothing(rob, store):
    made = salt.make(store.root)
    record, other = rob(2, seeds=2)
    assert record.score < CHANCE
    assert record.spec.salt_sha256 == made.sha256
    assert record.outcomes == other.outcomes == ()
    assert record.predictions == other.predictions  # always 0: it has found nothing
    content = b"".join(path.read_bytes() for path in store.root.rglob("*.parquet"))
    assert made.value not in content
    assert made.value.hex().encode() not in content


def test_law_10_a_private_salt_draws_its_own_data_and_the_same_each_time(rob, store):
    def drawn():
        identity = "toy-codes", "numbers", "evaluation", 0
        value = salt.in_use(store.root).value
        return verification.Exam.built(scenario, *identity[2:], 2, value).papers[0].answers

    scenario = registry.scenarios("toy-codes")["numbers"]
    public = drawn()
    salt.make(store.root)
    assert (drawn() == drawn()).all()
    assert (drawn() != public).any()


def test_law_7_salted_runs_are_rescored_and_repeated_where_the_salt_is(rob, store, engine):
    made = salt.make(store.root)
    (record,) = rob(2)
    seen = verification.verify(store.root, engine)
    assert (seen.rescored, seen.unscored) == (1, 0)
    scenario = registry.scenarios("toy-codes")["numbers"]
    method = registry.find_method(f"{store.root.parent / 'thief.py'}:Thief", "toy-codes")
    assert repeating.differing(record, scenario, method, engine, store.root) == []
    stranger = dataclasses.replace(record.spec, salt_sha256="00" * 32)
    assert store.put(dataclasses.replace(record, spec=stranger))
    seen = verification.verify(store.root, engine)
    assert (seen.rescored, seen.unscored) == (1, 1)
    assert any("1 runs are not rescored" in text for text in seen.unchecked)
    store.path(stranger).unlink()
    (store.root / ".salt").unlink()
    lost = verification.verify(store.root, engine)
    assert (lost.rescored, lost.unscored) == (0, 1)
    assert any(made.sha256[:12] in text and "private" in text for text in lost.unchecked)


def test_without_the_salt_of_its_folder_nothing_is_run(rob, store):
    salt.make(store.root)
    (store.root / ".salt").unlink()
    with pytest.raises(salt.HeldoutError, match=r"put the file \.salt"):
        rob(2)


@pytest.mark.parametrize("contract", [1, 2])
def test_law_5_plans_say_what_their_seeds_and_processes_come_from(make_study, contract):
    asked = make_study(
        contract=contract, salt_sha256="5a" * 32, environment={"SCALE": "2"}, protocol="untuned"
    )
    (spec, *_) = protocol.plan_evaluation(asked, None)
    salted = {1: ("", {}), 2: ("5a" * 32, dict(SET_BY_HARNESS))}[contract]
    assert (spec.salt_sha256, spec.environment) == (salted[0], {**salted[1], "SCALE": "2"})
    assert spec.let_through == {"SCALE": "2"}
    plain = dataclasses.replace(spec, salt_sha256="", environment={})
    assert (plain.key == spec.key) is False
