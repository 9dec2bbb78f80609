"""GSM8K: grading, the split, bad data, and a run from one end to the other."""

import dataclasses
import os
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.candidate import loading
from harness.errors import HeldoutError
from suites.reasoning import gsm8k
from suites.reasoning.gsm8k import TINY, gold, scenario
from suites.reasoning.numeric_answers import answer, score
from suites.reasoning.tokenisers import (
    BYTES_END,
    BYTES_PAD,
    Bytes,
    prompt_tokens,
    solution_tokens,
    tokeniser,
)

ROOT = Path(__file__).resolve().parents[3]
SIDES = ("tuning", "evaluation")


def real_data():
    """The folder that holds the true data set, or None."""
    named = os.environ.get("HELDOUT_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if (folder / "openai" / "gsm8k" / "main").is_dir() else None


@pytest.fixture
def real(monkeypatch):
    folder = real_data()
    if folder is None:
        pytest.skip("GSM8K is not here: HELDOUT_DATA names no folder that holds it")
    monkeypatch.setenv("HELDOUT_DATA", str(folder))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a split of rows (question, solution); returns the file."""
    monkeypatch.setenv("HELDOUT_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def go(split, rows, names=("question", "answer")):
        file = tmp_path / "openai" / "gsm8k" / "main" / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(2)]
        pq.write_table(pa.table(columns, names=list(names)), file)
        return file

    return go


def made_up(count, first=0):
    """Questions about numbers from `first` on, with three-digit answers."""
    return [
        (
            f"Ann has {i} plums and buys {100 + i}. How many has she?",
            f"She has {i}+{100 + i}=<<{i}+{100 + i}={100 + 2 * i}>>{100 + 2 * i} plums.\n"
            f"#### {100 + 2 * i}",
        )
        for i in range(first, first + count)
    ]


@pytest.fixture
def small(write):
    """A data set that takes no time."""
    write("train", made_up(200))
    write("test", made_up(40, first=200))


# --- grading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 72", "72"), ("So 48/2 = 24, in all 72", "72"), ("72.0", "72"), ("It is $72.", "72"),
        ("1,080 plums", "1080"), ("\\boxed{72}", "72"), ("\\boxed{\\frac{144}{2}}", "72"),
        ("$\\boxed{\\$72\\text{ each}}$.", "72"), ("\\boxed{1{,}080}", "1080"),
        ("\\boxed{x = 72}", "72"), ("\\boxed{2 \\cdot 36}", "72"), ("-3", "-3"), ("8-3", "3"),
        ("#### 72\n#### 73", "73"), ("\\boxed{5} but #### 72", "72"), ("#### 5 \\boxed{72}", "72"),
        ("#### 72 (of 100)", "72"), ("it is .5", "0.5"), ("1/2", "0.5"), ("50%", "50"),
        ("９ or 72", "72"), ("\\boxed{\\dfrac{1}{4}}", "0.25"),
        ("#### \u22125", "-5"), ("She ends up with \u22127 points.", "-7"), ("\u20131.5", "-1.5"),
        ("\\boxed{\\text{18}}", "18"), ("\\boxed{\\mathbf{18}}", "18"),
        ("\\boxed{\\textbf{\\text{18} km}}", "18"), ("\\boxed{18\\ \\mathrm{km}}", "18"),
        ("The answer is 2 1/2.", "2.5"), ("#### 2 1/2", "2.5"), ("\\boxed{2\\frac{1}{2}}", "2.5"),
        ("\\boxed{-2 1/2}", "-2.5"), ("1\u00a0000 or 3", "3"), ("\\boxed{1\\,080}", "1080"),
        ("\\boxed{1,234,567.5}", "1234567.5"), ("It is 18, 20", "20"), ("1,2345", "2345"),
    ],
)  # fmt: skip
def test_right_answers_score_1(text, number):
    assert score([text], [number]) == 1.0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", "0"), (" ", "0"), ("seventy-two", "72"), ("7 2", "72"), ("72", "7"), ("3", "-3"),
        ("72 or 73", "72"), ("#### none, of 72", "7"), ("\\boxed{}", "0"), ("\\boxed{72", "73"),
        ("\\boxed{1/0}", "0"), ("\\boxed{72 \\text{ of } 73}", "72"), ("\\boxed{10^2}", "2"),
        ("\\boxed{5!}", "120"), ("\\boxed{((((72}", "72"), ("####", "0"), ("1.08", "108"),
        ("#### \u22125", "5"), ("#### 2 1/2", "2"), ("The answer is 2 1/2.", "0.5"),
        ("\\boxed{18, 20}", "1820"), ("\\boxed{18, 20}", "20"), ("\\boxed{18 20}", "1820"),
        ("\\boxed{72 \\text{ of } 73}", "7273"), ("\\boxed{1,23}", "123"), ("1,23", "123"),
        ("\\boxed{12,3456}", "123456"), ("\\boxed{2 3/2}", "3.5"), ("\\boxed{18 \\frac{}{}}", "18"),
    ],
)  # fmt: skip
def test_wrong_answers_score_0(text, number):
    assert score([text], [number]) == 0.0


def test_many_texts_are_scored_in_order():
    found = score(["1", "2", "3", ""], ["1", "3", "3", "4"])
    assert found.tolist() == [1, 0, 1, 0]
    assert found.dtype == np.float32
    assert score([], []).shape == (0,)


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{9**9**9}", "\\boxed{9^{9^{9}}}", "\\boxed{9^9^9}", "\\boxed{99999999!}",
        "\\boxed{" * 10**5, "9" * 10**6, "\\boxed{" + "(" * 10**6, "9**9**9", "-" * 10**6,
        "\\boxed{\\int_0^1 x^{9^9} dx}", "\\boxed{" + "9*" * 39 + "9}",
        "\\boxed{9" + "/9" * 39 + "}",
        "\\boxed{9" + "/9" * 4 + "}", "\\boxed{" + "(" * 4 + "9" + ")" * 4 + "}",
        "\\boxed{" + "\\frac{9}{" * 2 + "2" + "}" * 2 + "}",
        "\\boxed{" + "-(" * 2 + "9" + ")" * 2 + "}",
        "\\boxed{\\frac{" + "9" * 40 + "}{0}}", "1,2,3," * 10**5, "$" * 10**5,
    ],
)  # fmt: skip
def test_texts_that_would_take_long_do_not(text):
    """Worked out, or read by a parser without a limit, each would take minutes or for ever."""
    score(["\\boxed{1/3}"], ["2"])  # what is loaded at the first call
    began = time.thread_time()
    assert score([text], ["7"]) == 0.0
    assert time.thread_time() - began < 20  # CPU seconds of this thread; in fact below 1


@given(st.text(max_size=60) | st.text("\\boxed{}#$.,-+*/()=0123456789frac ", max_size=60))
def test_no_text_raises(text):
    found = score([text], ["7"])
    assert found in (0.0, 1.0)
    assert score([text], ["7"]) == found


def test_it_works_off_the_main_thread():
    found = []
    texts = ["\\boxed{\\frac{2468}{2}}", "1,235", "\\boxed{\\frac{1}{0}}"]
    thread = threading.Thread(target=lambda: found.append(score(texts, ["1234", "1235", "1"])))
    thread.start()
    thread.join()
    assert found[0].tolist() == [1, 1, 0]


def test_only_the_end_of_a_text_is_read():
    assert answer("#### 72" + " " * 300) == ""
    assert answer("#### 5 " + "x" * 100 + " 72") == "5"


@pytest.mark.parametrize(
    ("solution", "number"),
    [
        ("Work.\n#### 72", "72"), ("#### 1,080", "1080"), ("####-5 ", "-5"), ("#### $20", "20"),
        ("#### 2.50", "2.50"), ("#### 1\n#### 2", "2"), ("Work.", None), ("#### ", None),
        ("#### seven", None), ("#### 7 plums", None), ("#### 7/2", None), ("72", None),
    ],
)  # fmt: skip
def test_a_gold_answer_is_a_number_or_none(solution, number):
    assert gold(solution) == number


# --- text and tokens ---------------------------------------------------------------------------


def test_prompts_are_cut_and_padded_on_the_left():
    found = prompt_tokens(Bytes(), ["abc", "abcdefg", "é"], 5)
    assert found.tolist() == [
        [BYTES_PAD, BYTES_PAD, 97, 98, 99],
        [99, 100, 101, 102, 103],
        [BYTES_PAD, BYTES_PAD, BYTES_PAD, 195, 169],
    ]


def test_solutions_keep_their_end():
    found = solution_tokens(Bytes(), ["ab #7", "b"], 5)
    assert found.tolist() == [
        [98, 32, 35, 55, BYTES_END],
        [32, 98, BYTES_END, BYTES_PAD, BYTES_PAD],
    ]


def test_what_follows_the_end_or_the_next_question_is_not_graded():
    tokens = Bytes()

    def graded(text, *more):
        return gsm8k.completion_text(tokens, np.array([*text.encode(), *more]))

    assert graded("a 7", BYTES_END, 56) == "a 7"
    assert graded("a 7\nQuestion: 8 and") == "a 7\n"
    assert graded("a 7") == "a 7"
    assert graded("", BYTES_END) == ""
    assert graded("a", -5, 10**9, BYTES_PAD) == "a"


# --- data --------------------------------------------------------------------------------------


def test_items_without_a_gold_answer_are_dropped(write):
    rows = made_up(30)
    rows[3] = ("How many?", "Nobody knows.")
    rows[7] = ("How many more?", "#### a few")
    write("train", rows)
    found = gsm8k.problems("train")
    assert len(found) == 28
    assert not {"How many?", "How many more?"} & {p.question for p in found}
    assert found[0].solution == "She has 0+100=100 plums.\n#### 100"


def questions(side):
    return ["".join(p.question.lower().split()) for part in gsm8k.sides(side) for p in part]


def disjoint():
    learned, judged = zip(*(gsm8k.sides(side) for side in SIDES), strict=True)
    everything = [questions(side) for side in SIDES]
    assert not set(everything[0]) & set(everything[1])
    for texts in everything:  # what is learned is not tested either
        assert len(texts) == len(set(texts))
    return [len(part) for part in (*learned, *judged)]


def test_sides_share_no_question(write):
    rows = made_up(200)
    test = made_up(40, first=200)
    # a test question, a repeated one and the like in other spelling
    shouted = [(f" {q.upper()}", a) for q, a in (test[0], rows[5], rows[6])]
    write("train", [*rows, *shouted, test[1], rows[0]])
    write("test", test)
    a, b, c, d = disjoint()
    assert a + b + c == 200
    assert d == 40
    assert min(a, b) > 60
    assert c > 3


def test_real_sides_share_no_question(real):
    assert disjoint() == [3337, 3653, 483, 1319]


def test_real_solutions_score_1_and_nothing_else_does(real):
    found = gsm8k.problems("train") + gsm8k.problems("test")
    assert len(found) == 7473 + 1319
    golds = [p.gold for p in found]
    assert score([p.solution for p in found], golds).mean() == 1.0
    assert score([""] * len(found), golds).mean() == 0.0
    assert score(["The answer is 10."] * len(found), golds).mean() < 0.035
    wrong = golds[1:] + golds[:1]
    assert score([p.solution for p in found], wrong).mean() < 0.02


@pytest.mark.parametrize("side", SIDES)
def test_real_streams_are_what_a_policy_reads(real, side):
    stream = scenario(TINY).build(side, 0)
    (step,), (test,) = stream.steps, stream.tests
    prompts, solutions = step.arrays["prompts"], step.arrays["solutions"]
    assert prompts.shape == (512, 128)
    assert solutions.shape == (512, 64)
    assert test.inputs.shape == (64, 128)
    assert step.oracle(prompts, solutions).mean() == 1.0
    assert step.oracle(prompts, np.roll(solutions, 1, 0)).mean() < 0.05
    assert not {row.tobytes() for row in prompts} & {row.tobytes() for row in test.inputs}
    text = Bytes().decode(prompts[0].tolist())
    assert text.endswith("\nAnswer:")


def test_a_seed_draws_and_repeats(small):
    one, again, other = (scenario(TINY).build("evaluation", seed) for seed in (1, 1, 2))
    assert np.array_equal(one.tests[0].inputs, again.tests[0].inputs)
    assert np.array_equal(one.steps[0].arrays["solutions"], again.steps[0].arrays["solutions"])
    assert not np.array_equal(one.tests[0].inputs, other.tests[0].inputs)


def test_the_fingerprint_is_of_the_data(small, write):
    tiny = scenario(TINY)
    before = [tiny.fingerprint(side) for side in SIDES]
    assert before[0] != before[1]
    write("test", made_up(40, first=201))
    after = [tiny.fingerprint(side) for side in SIDES]
    assert after[0] == before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize("spoil", ["missing", "damaged", "empty", "columns", "no text"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_bad_data_names_the_file(small, write, split, spoil):
    if spoil == "columns":
        file = write(split, made_up(3), names=("question", "text"))
    else:
        file = write(split, {"empty": [], "no text": [("Why?", None)]}.get(spoil, made_up(3)))
    if spoil == "damaged":
        file.write_bytes(file.read_bytes()[:40])
    if spoil == "missing":
        file.unlink()
    for what in (scenario(TINY).fingerprint, lambda side: scenario(TINY).build(side, 0)):
        with pytest.raises(HeldoutError) as caught:
            what("evaluation")
        assert file.name in str(caught.value)


def test_listing_reads_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HELDOUT_DATA", str(tmp_path / "nowhere"))
    assert [s.name for s in gsm8k.scenarios()] == ["gsm8k-tiny-random", "gsm8k"]


# --- judging -----------------------------------------------------------------------------------


def test_the_oracle_takes_anything(small):
    (step,) = scenario(TINY).build("evaluation", 0).steps
    x, y = step.arrays["prompts"][:4], step.arrays["solutions"][:4]
    assert step.oracle(x, y).tolist() == [1, 1, 1, 1]
    assert step.oracle(x.astype(np.int32), y.astype(np.int16)).tolist() == [1, 1, 1, 1]
    assert step.oracle(x[:, 1:], y).tolist() == [0, 0, 0, 0]
    assert step.oracle(x, y.astype(float)).tolist() == [0, 0, 0, 0]
    assert step.oracle(x, y[:3]).tolist() == [0, 0, 0, 0]
    assert step.oracle(x, y[:, 0]).tolist() == [0, 0, 0, 0]
    assert step.oracle(x + 1, y).tolist() == [0, 0, 0, 0]
    assert step.oracle(x, np.full((4, 9), -(10**12))).tolist() == [0, 0, 0, 0]
    assert step.oracle(x, y[:, :0]).tolist() == [0, 0, 0, 0]


def test_quality_and_pass_at_k(small):
    tokens = Bytes()
    texts = [["#### 5", "6", "5"], ["1", "2", "3"]]
    outputs = np.stack([solution_tokens(tokens, row, 9) for row in texts])
    golds = np.array(["5", "7"])
    assert gsm8k.quality(None, outputs, golds) == pytest.approx(2 / 6)
    assert gsm8k.share_solved(None, outputs, golds) == pytest.approx([2 / 3, 0])
    outputs[1, 0] = 65  # nine letters, no end
    found = gsm8k.secondary(None, outputs, golds)
    assert found["pass_at_3"] == 0.5
    assert found["finished"] == pytest.approx(5 / 6)
    assert found["length"] == pytest.approx((8 + 9 + 4 * 3) / 6)


@pytest.fixture
def pretrained(tmp_path_factory):
    """A folder with a model and its tokeniser: bytes, "####" and an end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from suites.reasoning.hf_policy import causal_lm

    folder = tmp_path_factory.mktemp("pretrained")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: i for i, letter in enumerate([*letters, "##", "####"])}
    core = Tokenizer(models.BPE(words, [("#", "#"), ("##", "##")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>").save_pretrained(folder)
    config = {**TINY.config, "vocab_size": 264, "eos_token_id": len(words)}
    causal_lm(None, config, 0, 0, 8).network.save_pretrained(folder)
    return str(folder)


def test_a_pretrained_model_brings_its_tokeniser(small, pretrained):
    setting = dataclasses.replace(TINY, source=pretrained, config=None, vocabulary=264)
    stream = scenario(setting).build("evaluation", 0)
    (step,), (test,) = stream.steps, stream.tests
    facts, tokens = stream.facts, tokeniser(pretrained)
    assert facts["pad"] == facts["end"] == 258
    assert tokens.decode([facts["answer_after"]]) == "####"
    assert step.oracle(step.arrays["prompts"], step.arrays["solutions"]).mean() == 1.0
    assert tokens.decode([*tokens.encode("é 7"), 258, 263, 10**6, -1]) == "é 7"
    policy = loading.call(stream.model)
    asked = torch.from_numpy(test.inputs[:2])
    outputs = gsm8k._draw(policy, asked, None, torch.Generator().manual_seed(0)).numpy()
    assert outputs.shape == (2, gsm8k.DRAWN, setting.completion)
    assert 0 <= scenario(setting).quality(outputs, test.answers[:2]) <= 1


def test_a_source_without_a_tokeniser_says_what_to_do(small, tmp_path):
    setting = dataclasses.replace(TINY, source=str(tmp_path), config=None)
    with pytest.raises(HeldoutError, match=f"{tmp_path} cannot be loaded .* hf download"):
        scenario(setting).build("evaluation", 0)


# --- from one end to the other -----------------------------------------------------------------


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_run_gives_a_record(small, run, method):
    done = run(
        f"reasoning/{method}",
        place="reasoning/gsm8k-tiny-random",
        tier="full",
        budget={"steps": "2"},
    )
    (result,) = done.results
    (record,) = result.evaluation
    assert record.status == "ok", record.failure
    assert record.score < 0.02
    assert record.metrics["base_pass_at_1"] < 0.02
    assert record.parameters > 100_000
    assert record.cost.spent["trained_tokens"] > 0
