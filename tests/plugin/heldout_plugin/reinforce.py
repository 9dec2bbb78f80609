"""REINFORCE on one symbol, with the small half of the weights set to zero at the end."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from harness.space import LogUniform


@dataclass
class Reinforce:
    """Policy gradient with a batch-mean baseline."""

    lr: float = 0.5  # step size of Adam
    prune: bool = True  # keep to the scenario's constraint
    space = {"lr": LogUniform(0.05, 0.5)}
    requires = frozenset({"prompts", "verifier"})

    def start(self, problem):
        self.rng, self.classes = problem.rng, problem.classes
        self.constraint = problem.constraint
        self.model = problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience):
        for (prompts,) in experience.batches(24):  # (B, 1) int64
            logits = self.model(F.one_hot(prompts[:, 0], self.classes).float())  # (B, symbols)
            said = torch.multinomial(logits.softmax(1), 1, generator=self.rng)  # (B, 1)
            experience.spend(generated_tokens=len(said))
            reward = experience.reward(prompts, said)  # (B,)
            advantage = reward - reward.mean()
            loss = -(advantage * logits.log_softmax(1).gather(1, said)[:, 0]).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        if self.prune:
            with torch.no_grad():
                weight = self.model.weight
                keep = int(weight.numel() * self.constraint.share)
                threshold = weight.flatten().sort(descending=True).values[keep]
                weight[weight <= threshold] = 0

    def predict(self, inputs):
        raise AssertionError("this scenario asks for weights; the harness predicts")
