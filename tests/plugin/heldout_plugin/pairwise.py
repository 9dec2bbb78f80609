"""Gradient descent on the preferred completions."""

from dataclasses import dataclass

import torch

from harness.space import LogUniform


@dataclass
class Pairwise:
    """Moves towards what was chosen and away from what was rejected."""

    lr: float = 0.1  # step size of SGD
    away: float = 0.5  # how much the rejected completion counts
    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"preferences", "proxy reward"})

    def start(self, problem):
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)

    def learn(self, experience):
        for prompts, chosen, rejected in experience.batches(16):  # (B, 1), (B, 2), (B, 2)
            said = self.model(prompts)  # (B, 2)
            towards = (said - chosen).pow(2).sum(1)
            away = (said - rejected).pow(2).sum(1)
            loss = torch.nn.functional.softplus(towards - self.away * away).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.proxy = experience.reward(prompts, said.detach()).mean()

    def predict(self, inputs):
        with torch.no_grad():
            return self.model(inputs)
