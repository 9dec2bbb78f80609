import dataclasses
import math
import os
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.contract import Budget, Call, Metric, Outputs, Scenario, Step, Stream, Test
from harness.errors import HeldoutError, RunFailure
from harness.proctor.exam import Exam, Exams, checked

X = np.arange(12, dtype="float32").reshape(6, 2)  # row i begins with 2i
Y = np.array([0, 1, 2, 0, 1, 2])


def stream(**changes):
    steps = (Step({"inputs": X, "targets": Y}, (0, 1, 2)),)
    whole = Stream(steps, (Test(X, Y),), Call("nowhere:network"), (2,), 3)
    return dataclasses.replace(whole, **changes)


def scenario(build=None, **changes):
    whole = Scenario(
        suite="shapes",
        name="squares",
        version=1,
        tier="core",
        title="Squares, in order.",
        metric=Metric("accuracy", "fraction", True, 1 / 3),
        budget=Budget(epochs=1),
        build=build or (lambda _side, _seed: stream()),
        fingerprint=lambda side: side,
        quality=lambda outputs, answers: float(np.mean(outputs == answers)),
        metrics=lambda trace: {"accuracy": float(trace.quality.mean())},
        outputs=Outputs("integer", low=0, high=2),
    )
    return dataclasses.replace(whole, **changes)


def content(shared):
    size = int(np.prod(shared.shape)) * np.dtype(shared.dtype).itemsize
    return np.frombuffer(os.pread(shared.fd, size, 0), shared.dtype).reshape(shared.shape)


# --- shuffling ---------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.integers(0, 2**31))
@settings(max_examples=50)
def test_law_3_shuffled_inputs_and_their_outputs_find_back(answers, seed):
    answers = np.array(answers)
    inputs = np.arange(len(answers))
    exam = Exam(scenario(), stream(tests=(Test(inputs, answers),)), "tuning", seed)
    handed_out = content(exam.inputs[0])
    assert sorted(handed_out) == inputs.tolist()
    outputs = answers[handed_out]  # what a perfect method says
    np.testing.assert_array_equal(exam.unshuffled(0, outputs), answers)
    assert exam.quality(0, exam.unshuffled(0, outputs)) == 1.0


def test_outputs_of_any_shape_find_back():
    exam = Exam(scenario(), stream(), "tuning", 0)
    outputs = X[exam.orders[0]]
    np.testing.assert_array_equal(exam.unshuffled(0, outputs), X)


def test_law_3_the_order_cannot_be_derived_from_the_seed():
    """A method knows its inputs, the scenario's code and the seed; only the answers it lacks."""
    inputs = np.arange(100)
    answers = [np.zeros(100, int), np.eye(1, 100, dtype=int)[0], np.ones(100, int)]
    orders = [
        Exam(scenario(), stream(tests=(Test(inputs, a),)), "tuning", 7).orders[0] for a in answers
    ]
    assert len({order.tobytes() for order in orders}) == 3
    again = Exam(scenario(), stream(tests=(Test(inputs, answers[0]),)), "tuning", 7).orders[0]
    np.testing.assert_array_equal(again, orders[0])  # law 10
    other_seed = Exam(scenario(), stream(tests=(Test(inputs, answers[0]),)), "tuning", 8).orders[0]
    assert other_seed.tobytes() != orders[0].tobytes()


def test_law_3_what_is_handed_out_holds_no_answers():
    secret = np.arange(6) + 770_000
    exam = Exam(scenario(), stream(tests=(Test(X, secret),)), "tuning", 0)
    handed_out = content(exam.inputs[0])
    assert handed_out.shape == X.shape
    assert not np.isin(handed_out, secret).any()


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 2**31))
@settings(max_examples=50)
def test_law_3_papers_of_untold_tasks_come_on_one_sheet(sizes, seed):
    ends = np.cumsum(sizes)
    inputs = np.split(np.arange(ends[-1]), ends[:-1])
    tests = tuple(Test(x, x % 7) for x in inputs)
    exam = Exam(scenario(), stream(tests=tests), "tuning", seed)
    (sheet,) = exam.sheets
    handed_out = content(sheet.inputs)
    assert sorted(handed_out) == list(range(ends[-1]))
    found = exam.sorted_out(sheet, handed_out % 7)  # what a perfect method says
    assert sorted(found) == list(range(len(sizes)))
    for paper, outputs in found.items():
        np.testing.assert_array_equal(outputs, tests[paper].answers)


def test_told_tasks_validation_and_other_shapes_have_sheets_of_their_own():
    tests = (Test(X, Y, task=0), Test(X, Y, task=1), Test(X, Y), Test(X[:, :1], Y), Test(X, Y))
    exam = Exam(scenario(), stream(tests=tests, validation=Test(X, Y)), "tuning", 0)
    assert [sheet.papers for sheet in exam.sheets] == [(0,), (1,), (2, 4), (3,), (5,)]


def test_steps_are_handed_out_as_declared():
    prompts, chosen, rejected = (np.full((3, 2), i) for i in range(3))
    arrays = {"prompts": prompts, "chosen": chosen, "rejected": rejected}
    exam = Exam.sat(scenario(lambda _side, _seed: stream(steps=(Step(arrays),))), "tuning", 0)
    for shared, array in zip(exam.steps[0], arrays.values(), strict=True):
        np.testing.assert_array_equal(content(shared), array)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_law_6_a_quality_that_is_no_number_is_a_failure(value):
    exam = Exam(scenario(quality=lambda _outputs, _answers: value), stream(), "tuning", 0)
    with pytest.raises(RunFailure, match=f"test 0 score {value}") as failed:
        exam.quality(0, Y)
    assert failed.value.kind == "output"


# --- single items ------------------------------------------------------------------------------


def correct(outputs, answers):
    return outputs == answers


def test_law_7_what_each_item_scored_is_told_in_the_papers_own_order():
    exam = Exam(scenario(items=correct), stream(tests=(Test(X, Y), Test(X, Y))), "tuning", 0)
    handed_out = Y[exam.orders[1]]
    handed_out[exam.orders[1] == 4] = 0  # wrong for item 4
    outputs = {0: Y, 1: exam.unshuffled(1, handed_out)}
    first, second = exam.outcomes(outputs)
    assert (first.test, first.scores) == (0, (1.0,) * 6)
    assert (second.test, second.scores) == (1, (1.0, 1.0, 1.0, 1.0, 0.0, 1.0))


def test_a_scenario_that_does_not_say_what_items_score_has_no_outcomes():
    assert Exam(scenario(), stream(), "tuning", 0).outcomes({0: Y}) == ()


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (lambda outputs, answers: 0.5, "float64 values of shape () for the 6 items of test 0"),
        (lambda outputs, answers: outputs[:-1], "values of shape (5,) for the 6 items of test 0"),
        (lambda outputs, answers: X, "float32 values of shape (6, 2)"),
        (lambda outputs, answers: np.array(list("abcdef")), "<U1 values of shape (6,)"),
    ],
    ids=["one number", "one less", "two each", "text"],
)
def test_items_that_are_not_one_number_each_are_the_suites_fault(items, words):
    exam = Exam(scenario(items=items), stream(), "tuning", 0)
    with pytest.raises(HeldoutError) as fault:
        exam.outcomes({0: Y})
    assert str(fault.value).startswith("shapes/squares: `items` gave ")
    assert words in str(fault.value)
    assert str(fault.value).endswith("mend the suite: it is one number each")


@pytest.mark.parametrize("value", [math.nan, -math.inf, 1e300])
def test_law_6_an_item_that_scores_no_number_is_a_failure(value):
    """1e300 is none in float32, in which they are kept."""
    items = np.where(np.arange(6) == 2, value, 0.5)
    exam = Exam(scenario(items=lambda _outputs, _answers: items), stream(), "tuning", 0)
    with pytest.raises(RunFailure, match=r"item 2 of test 0 scores ") as failed:
        exam.outcomes({0: Y})
    assert failed.value.kind == "output"


# --- checked outputs ---------------------------------------------------------------------------

CLASSES = Outputs("integer", low=0, high=9)
REAL = Outputs("real", low=-1.0, high=1.0)
TOKENS = Outputs("integer", shape=(3,), low=0)


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        (np.array([0, 9, 5]), CLASSES),
        (np.array([0, 9, 5], "uint8"), CLASSES),
        (np.zeros((3, 3), "int64"), TOKENS),
        (np.array([-1.0, 1.0, 0.5]), REAL),
        (np.array([-1, 1, 0]), REAL),
        (np.array([-1e30, 0, 1e30]), Outputs("real")),
        (np.array([-(2**40), 0, 2**40]), Outputs()),
    ],
)
def test_right_outputs_are_taken_as_they_are(outputs, wanted):
    assert checked(outputs, wanted, 3) is outputs


@pytest.mark.parametrize(
    ("outputs", "wanted", "words"),
    [
        (np.zeros(4, int), CLASSES, r"shape \(4,\); \(3,\) is asked for"),
        (np.zeros(0, int), CLASSES, r"shape \(0,\)"),
        (np.zeros((3, 1), int), CLASSES, r"shape \(3, 1\)"),
        (np.zeros((), int), CLASSES, r"shape \(\)"),
        (np.zeros((3, 10)), CLASSES, r"shape \(3, 10\)"),
        (np.zeros(3, int), TOKENS, r"\(3, 3\) is asked for"),
        (np.zeros((3, 4), int), TOKENS, r"shape \(3, 4\)"),
        (np.zeros(3), CLASSES, "float64 values; whole numbers"),
        (np.zeros(3, bool), CLASSES, "bool values; whole numbers"),
        (np.array([0.0, np.nan, 0.0]), REAL, "NaN or infinity"),
        (np.array([0.0, np.inf, 0.0]), Outputs("real"), "NaN or infinity"),
        (np.array([0, 10, 0]), CLASSES, "from 0 to 10; valid are 0 to 9"),
        (np.array([0, -1, 0]), CLASSES, "from -1 to 0"),
        (np.array([[0] * 3, [0] * 3, [0, 0, -5]]), TOKENS, "from -5 to 0"),
        (np.array([0.0, 1.5, 0.0]), REAL, "from 0.0 to 1.5"),
        (np.array([0, 2, 0]), REAL, "from 0 to 2"),
    ],
)
def test_law_6_wrong_outputs_are_a_failure_in_words(outputs, wanted, words):
    with pytest.raises(RunFailure, match=words) as failed:
        checked(outputs, wanted, 3)
    assert failed.value.kind == "output"


# --- streams that a suite builds ---------------------------------------------------------------


def bad(arrays):
    return stream(steps=(Step(arrays),))


STREAMS = {
    "no experience": stream(steps=()),
    "no test": stream(tests=()),
    "an experience of nothing": bad({}),
    "an empty experience": bad({"inputs": X[:0], "targets": Y[:0]}),
    "unequal lengths": bad({"inputs": X, "targets": Y[:5]}),
    "a number for an array": bad({"inputs": np.array(1.0)}),
    "a type that cannot be handed over": bad({"inputs": X.astype("complex64"), "targets": Y}),
    "objects": bad({"inputs": np.array(["a", None], object)}),
    "a test without inputs": stream(tests=(Test(X[:0], Y[:0]),)),
    "fewer answers than inputs": stream(tests=(Test(X, Y[:5]),)),
    "test inputs of another type": stream(tests=(Test(X.astype("uint16"), Y),)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_bad_stream_is_refused_and_named(name):
    exams = Exams()
    with pytest.raises(HeldoutError, match="shapes/squares, tuning side"):
        exams.get(scenario(lambda _side, _seed: STREAMS[name]), "tuning", 0)


@pytest.mark.parametrize("needs", [{"untrained": True}, {"deliverable": "weights"}])
def test_a_scenario_whose_network_the_harness_cannot_ask_is_refused(needs):
    with pytest.raises(HeldoutError, match="needs `infer`"):
        Exams().get(scenario(**needs), "tuning", 0)


def test_an_exam_is_built_once_per_side_and_seed():
    built = []

    def build(side, seed):
        built.append((side, seed))
        return stream()

    exams, ours = Exams(), scenario(build)
    for _ in range(2):
        for side in ("tuning", "evaluation"):
            for seed in (0, 1):
                assert exams.get(ours, side, seed).seed == seed
    assert built == [("tuning", 0), ("tuning", 1), ("evaluation", 0), ("evaluation", 1)]


def test_only_the_latest_exams_are_kept():
    built = []
    ours = scenario(lambda side, seed: built.append(seed) or stream())
    exams = Exams()
    for seed in [*range(20), 19, 0]:
        exams.get(ours, "tuning", seed)
    assert built == [*range(20), 0]


def test_what_is_kept_takes_no_more_than_its_share_of_memory(monkeypatch):
    # so that one alone is too much already
    monkeypatch.setattr("harness.proctor.exam.KEPT_SHARE", 0.0)
    built = []
    ours = scenario(lambda side, seed: built.append(seed) or stream())
    exams = Exams()
    for seed in (0, 0, 1, 0):
        exams.get(ours, "tuning", seed)
    assert built == [0, 1, 0]


def test_data_is_held_once_in_memory_that_nobody_can_write():
    first = X.copy()
    original = weakref.ref(first)
    arrays = [first]
    exam = Exam.sat(
        scenario(lambda _side, _seed: stream(steps=(Step({"inputs": arrays.pop()}),))), "tuning", 0
    )
    del first
    assert original() is None
    held = exam.stream.steps[0].arrays["inputs"]
    np.testing.assert_array_equal(held, X)
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 1
    assert exam.size_bytes == 3 * X.nbytes  # the experience, the test, and the test shuffled
