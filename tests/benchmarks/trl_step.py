"""Time per step of GRPO and DPO: TRL's trainers beside our methods, same policy, batch and lengths.

    pip install 'heldout[llm]'
    python tests/benchmarks/trl_step.py [--steps 60]

One thread on a CPU. All train the same random Llama of 0.13 million weights in float32: prompts of
6 characters, completions of 8, no checkpoints, no logging, no evaluation. GRPO samples 8
completions for each of 8 prompts, with one update per batch and a reward that costs nothing; DPO
learns 64 pairs. Printed is the median CPU time of a step, the first ten left out: with one thread
that is the time on a quiet machine, whatever else runs. The aim: at most half of TRL's.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
import warnings

PROMPT, COMPLETION, PROMPTS, SAMPLES, PAIRS = 6, 8, 8, 8, 64
CHARACTERS = "0123456789+="
CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
WARM_UP = 10


def questions(count):
    import random

    draw = random.Random(0)
    return [f"{draw.randrange(10, 100)}+{draw.randrange(10, 100)}=" for _ in range(count)]


class Problem:
    """What a method asks of its problem, without a harness around it."""

    def __init__(self, policy):
        import torch

        self.policy, self.rng = policy, torch.Generator().manual_seed(0)

    def model(self):
        import copy

        return copy.deepcopy(self.policy)

    def spend(self, **amounts):
        pass


class Experience:
    """Endless batches of prompts; notes when each was asked for."""

    def __init__(self, prompts, steps):
        self.prompts, self.steps, self.times = prompts, steps, []

    def batches(self, size):
        for step in range(self.steps):
            self.times.append(time.process_time())
            yield (self.prompts[step * size % 512 :][:size],)
        self.times.append(time.process_time())

    def reward(self, prompts, completions):
        return (completions % 2).float().mean(1)

    def spend(self, **amounts):
        pass


def ours(policy, steps):
    """(seconds per step of GRPO, of DPO) of our methods with a policy."""
    import torch

    from baselines.reasoning.dpo import Dpo
    from baselines.reasoning.grpo import Grpo

    ids = torch.tensor([[CHARACTERS.index(c) for c in q] for q in questions(1024)])
    grpo = Grpo(lr=1e-5, prompts=PROMPTS, samples=SAMPLES)
    grpo.start(Problem(policy))
    experience = Experience(ids, steps)
    grpo.learn(experience)
    dpo = Dpo(lr=1e-5)
    dpo.start(Problem(policy))
    pairs = torch.randint(len(CHARACTERS), (PAIRS, 2, COMPLETION))
    times = []
    for step in range(steps):
        times.append(time.process_time())
        loss = dpo.loss(ids[step * PAIRS % 512 :][:PAIRS], pairs)
        dpo.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(dpo.model.parameters(), 1.0)
        dpo.optimizer.step()
    return median(experience.times), median([*times, time.process_time()])


def median(times):
    return statistics.median(b - a for a, b in itertools.pairwise(times[WARM_UP:]))


def trl(network, steps):
    """(seconds per step of GRPO, of DPO) of TRL's trainers with a copy of a model."""
    import copy

    from datasets import Dataset
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

    words = {c: i for i, c in enumerate([*CHARACTERS, "<end>", "<pad>"])}
    raw = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokeniser = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<end>", pad_token="<pad>", padding_side="left"
    )

    class Times(TrainerCallback):
        def __init__(self):
            self.times = []

        def on_step_begin(self, *_, **__):
            self.times.append(time.process_time())

    def common(folder):
        return {
            "output_dir": folder,
            "max_steps": steps,
            "per_device_train_batch_size": PROMPTS * SAMPLES,
            "learning_rate": 1e-5,
            "report_to": "none",
            "logging_strategy": "no",
            "save_strategy": "no",
            "use_cpu": True,
            "bf16": False,
            "disable_tqdm": True,
            "gradient_checkpointing": False,
            "dataloader_pin_memory": False,
        }

    with tempfile.TemporaryDirectory() as folder:
        start = os.path.join(folder, "model")  # a model without a name is refused as reference
        network.save_pretrained(start)
        tokeniser.save_pretrained(start)

        def loaded():
            from transformers import AutoModelForCausalLM

            return AutoModelForCausalLM.from_pretrained(start)

        found = []
        grpo_times, dpo_times = Times(), Times()
        GRPOTrainer(
            model=loaded(),
            reward_funcs=lambda completions, **_: [len(c) / 8 for c in completions],
            args=GRPOConfig(
                **common(folder),
                num_generations=SAMPLES,
                max_completion_length=COMPLETION,
                beta=0.0,
                temperature=1.0,
            ),
            train_dataset=Dataset.from_dict({"prompt": questions(1024)}),
            processing_class=copy.deepcopy(tokeniser),
            callbacks=[grpo_times],
        ).train()
        found.append(median(grpo_times.times))
        text = questions(1024)
        chosen, rejected = (q[:2] + q[3:5] + q[:4] for q in text), (q[:4] * 2 for q in text)
        DPOTrainer(
            model=loaded(),
            ref_model=loaded(),
            args=DPOConfig(**common(folder), max_length=PROMPT + COMPLETION + 1),
            train_dataset=Dataset.from_dict(
                {"prompt": text, "chosen": list(chosen), "rejected": list(rejected)}
            ),
            processing_class=copy.deepcopy(tokeniser),
            callbacks=[dpo_times],
        ).train()
        found.append(median(dpo_times.times))
    return tuple(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_OFFLINE"] = "1"

    import torch

    from suites.networks.transformer import transformer
    from suites.reasoning.hf_policy import causal_lm

    torch.set_num_threads(1)
    torch.manual_seed(0)
    end, pad = len(CHARACTERS), len(CHARACTERS) + 1
    config = {**CONFIG, "vocab_size": pad + 1, "eos_token_id": end, "pad_token_id": pad}
    policy = causal_lm(source=None, config=config, end=end, pad=pad, length=COMPLETION)
    small = transformer(
        vocabulary=pad + 1,
        width=64,
        layers=2,
        heads=4,
        prompt=PROMPT,
        completion=COMPLETION,
        end=end,
    )
    theirs = trl(policy.network, steps)
    for name, network in (("the same model", policy), ("our own transformer", small)):
        weights = sum(p.numel() for p in network.parameters())
        for kind, mine, other in zip(("GRPO", "DPO"), ours(network, steps), theirs, strict=True):
            print(
                f"{kind}, {name} ({weights:,} weights): ours {1000 * mine:.1f} ms a step, "
                f"TRL {1000 * other:.1f} ms, ratio {mine / other:.2f}"
            )


if __name__ == "__main__":
    main()
