"""The method's side of a run: loads the method, answers the proctor's messages, reports failures.

Runs in the method's own process (or in ours, `inline`). Everything here may be tampered with by a
hostile method, so nothing here is trusted: scores, time and memory are the proctor's.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.candidate import imported
from harness.candidate.channel import DTYPES, Channel, ChannelError, Message
from harness.candidate.experience import Ledger, StreamExperience
from harness.candidate.flops import FlopCount
from harness.candidate.loading import describe, explained, load_method, named
from harness.candidate.problem import CandidateProblem
from harness.candidate.state import packed, randomness, restore_randomness, unpacked
from harness.candidate.tensors import ENCODED, as_array
from harness.contract import Array, Budget
from harness.errors import DIVERGED, RunFailure
from harness.fingerprint import of_weights


def serve(channel: Channel, known: Collection[str]) -> None:
    """Answer the proctor's messages until it hangs up or the run has failed.

    `known` are the names of the modules that were imported before there was a method.
    """
    try:
        candidate = Candidate(channel, known)
        while (message := channel.receive()) is not None:
            candidate.answer(message)
    except BrokenPipeError:
        return  # the proctor has gone; nobody to tell
    except RunFailure as failure:
        _report(channel, failure.kind, failure.reason)
    except MemoryError:
        _report(channel, "memory", "ran out of memory (MemoryError)")
    except SystemExit as error:
        _report(channel, "exit", f"the method called sys.exit({error.code!r})")
    except KeyboardInterrupt:
        _report(channel, "exception", "raised KeyboardInterrupt")
        raise  # inline it may be the user's own
    except ChannelError as error:
        _report(channel, "contract", str(error))
    except BaseException as error:
        kind, reason = explained(error)
        traceback.print_exc()
        _report(channel, kind, reason)


class Candidate:
    """The state of one run between messages."""

    def __init__(self, channel: Channel, known: Collection[str]) -> None:
        self._channel = channel
        self._known = known
        self._sheets: dict[int, Tensor] = {}  # of this exam: number -> inputs (N, ...)
        self._looked_at: _Undisturbed | None = None  # since the first answer of an evaluation

    def answer(self, message: Message) -> None:
        """Do what one message asks and reply."""
        verbs: dict[str, Callable[[Message], None]] = {
            "accelerators": self._accelerators,
            "describe": self._describe,
            "open": self._open,
            "untrained": self._untrained,
            "initial": self._initial,
            "load": self._load,
            "resume": self._resume,
            "state": self._tell_state,
            "learn": self._learn,
            "predict": self._predict,
            "deliver": self._deliver,
            "finish": self._finish,
        }
        if message.kind != "predict":
            self._look_away()
        verbs[message.kind](message)

    def _look_away(self) -> None:
        """Being asked changes nothing: what answers have moved is put back after the last."""
        if self._looked_at is not None:
            self._looked_at.put_back()
            self._looked_at = None

    def _accelerators(self, _: Message) -> None:
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        self._channel.send("accelerators", {"names": names})

    def _describe(self, message: Message) -> None:
        asked = message.data
        self._channel.send("described", describe(asked["target"], asked["place"]))

    def _open(self, message: Message) -> None:
        """Build the problem; before any line of the method's code runs."""
        facts = message.data
        self._sheets = {}
        torch.set_num_threads(facts["threads"])
        flushes = torch.set_flush_denormal(facts["flush_denormals"])
        if facts["device"] != "cpu":  # on a CPU it changes nothing but the speed
            torch.use_deterministic_algorithms(True, warn_only=True)
        weights = dict(zip(facts["weight_names"], message.arrays, strict=True))
        self._ledger = Ledger(Budget(**facts["budget"]))
        self._problem = CandidateProblem(facts, weights, self._ledger)
        if facts["eager"]:
            torch.manual_seed(facts["seeds"]["model"])
            _ = self._problem.network  # off the clock of the run
        self._facts = facts
        self._flops = FlopCount() if facts["flops"] else None
        self._channel.send("opened", {"flushes": flushes})

    def _untrained(self, message: Message) -> None:
        """Judge the network as it is before training; no method ever comes to this process."""
        infer = named(message.data["infer"])
        network = self._problem.model().eval()
        rng = torch.Generator().manual_seed(message.data["seed"])

        def predict(inputs: Tensor) -> Any:
            with torch.no_grad():
                return infer(network, inputs, message.data["task"], rng)

        self._channel.send("predicted", {"spent": {}}, [self._outputs(message, predict)])

    def _initial(self, message: Message) -> None:
        """The network as it is before training: size and hash, and its weights if asked."""
        network = self._problem.model()
        wanted = message.data["weights"]
        self._channel.send(
            "delivered", _told(network), [_packed(_state(network))] if wanted else []
        )

    def _load(self, message: Message) -> None:
        """Import the method, set its hyper-parameters and start it."""
        self._seed(self._facts["seeds"]["method"])
        method = load_method(message.data["target"])
        self._method = method(**message.data["setting"])
        self._channel.send("loaded")
        if self._channel.receive() is None:
            raise BrokenPipeError
        with _named_verb("start"), self._learning():
            self._method.start(self._problem)
        self._channel.send("started", self._counts())

    def _seed(self, seed: int) -> None:
        """For methods that use the global generators."""
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)

    def _resume(self, message: Message) -> None:
        """Go on from the state of another process of this run, with what that had spent."""
        load_method(message.data["target"])
        spent = message.data["spent"]
        self._ledger.samples_seen, self._ledger.samples_read = spent["samples"]
        self._ledger.spent = dict(spent["amounts"])
        self._ledger.train_seconds = spent["train_seconds"]
        if self._flops:
            self._flops.go_on(spent["train_flops"])
        state, random_states = message.arrays
        self._method = unpacked(state, self._problem)
        restore_randomness(random_states, self._problem)
        if message.data["reseeded"] is not None:
            self._seed(message.data["reseeded"])
            self._problem.rng.manual_seed(message.data["reseeded"])
        self._channel.send("resumed")

    def _tell_state(self, _: Message) -> None:
        states = [packed(self._method, self._problem), randomness(self._problem)]
        self._channel.send("state", arrays=states)

    def _learn(self, message: Message) -> None:
        data, device = message.data, self._problem.device
        tensors = {
            name: torch.from_numpy(array).to(device)
            for name, array in zip(data["names"], message.arrays, strict=True)
        }
        experience = StreamExperience(
            data["task"],
            tuple(data["classes"]),
            tensors,
            torch.Generator().manual_seed(self._facts["seeds"]["order"] + data["task"]),
            self._ledger,
            points=data["points"],
            evaluate=self._pause,
            oracle=self._reward if data["oracle"] else None,
            withheld=data["withheld"],
            oracle_needs=data["oracle_needs"],
        )
        with _named_verb("learn"), experience.explaining(), self._learning():
            self._method.learn(experience)
        experience.close()
        self._check_finite()
        self._channel.send("learned", self._counts())

    def _learning(self) -> contextlib.AbstractContextManager[None]:
        return self._flops.learning() if self._flops else contextlib.nullcontext()

    def _predicting(self) -> contextlib.AbstractContextManager[None]:
        return self._flops.predicting() if self._flops else contextlib.nullcontext()

    def _pause(self) -> bool:
        """An evaluation point inside `learn`: answer until the proctor says go on, or stop."""
        self._channel.send("point", self._counts())
        while (message := self._channel.receive()) is not None:
            if message.kind in ("go on", "stop"):
                self._look_away()
                return message.kind == "stop"
            self.answer(message)
        raise BrokenPipeError

    def _reward(self, prompts: Tensor, completions: Tensor) -> Tensor:
        self._channel.send("reward", arrays=[as_array(prompts), as_array(completions)])
        reply = self._channel.receive()
        if reply is None:
            raise BrokenPipeError
        if reply.kind == "refused":
            raise RunFailure("budget", reply.data["reason"])
        return torch.from_numpy(reply.arrays[0].copy()).to(self._problem.device)

    def _predict(self, message: Message) -> None:
        self._looked_at = self._looked_at or _Undisturbed(self._method, self._problem)
        takes_task = "task" in inspect.signature(self._method.predict).parameters
        options = {"task": message.data["task"]} if takes_task else {}

        def predict(inputs: Tensor) -> Any:
            with _named_verb("predict"), _answering(self._method):
                return self._method.predict(inputs, **options)

        with self._predicting():
            outputs = self._outputs(message, predict)
        spent, self._ledger.predicting = self._ledger.predicting, {}
        flops = self._flops.predicted if self._flops else 0
        self._channel.send("predicted", {"spent": spent, "flops": flops}, [outputs])

    def _outputs(self, message: Message, predict: Callable[[Tensor], Any]) -> Array:
        """Outputs (N, ...) of one sheet, asked for in batches."""
        sheet = message.data["sheet"]
        if message.arrays:  # sent once; the receiver's mapping is kept
            self._sheets[sheet] = torch.from_numpy(message.arrays[0]).to(self._problem.device)
        parts = []
        for inputs in torch.split(self._sheets[sheet], message.data["batch"]):
            outputs = predict(inputs.clone())
            if not isinstance(outputs, Tensor | np.ndarray) or outputs.ndim < 1:
                raise RunFailure(
                    "output",
                    f"predict returned {type(outputs).__name__}; return a tensor of "
                    f"{len(inputs)} outputs for {len(inputs)} inputs",
                )
            if len(outputs) != len(inputs):
                raise RunFailure(
                    "output", f"predict returned {len(outputs)} outputs for {len(inputs)} inputs"
                )
            array = as_array(outputs)
            if array.dtype.name not in DTYPES:
                raise RunFailure("output", f"predict returned {array.dtype} values; return numbers")
            parts.append(array)
        return np.concatenate(parts)

    def _deliver(self, _: Message) -> None:
        """Hand over the weights: safetensors in a byte array."""
        model = getattr(self._method, "model", None)
        if not isinstance(model, nn.Module):
            raise RunFailure("contract", "this scenario asks for weights: set self.model")
        encoded = [(ENCODED + n, t) for n, t in getattr(self._method, "encoded", {}).items()]
        self._channel.send("delivered", arrays=[_packed([*_state(model), *encoded])])

    def _finish(self, message: Message) -> None:
        """What is asked: size and hash of the network, where there is one; what was imported."""
        told: dict[str, Any] = {"parameters": None, "weights_sha256": None, "modules": []}
        if message.data["apart"]:
            told["modules"] = imported.unhashed(self._known, message.data["apart"])
        model = getattr(self._method, "model", None)
        if message.data["whole"] and isinstance(model, nn.Module):
            told |= _told(model)
        self._channel.send("finished", told)

    def _counts(self) -> dict[str, Any]:
        """What the ledger says."""
        ledger = self._ledger
        return {
            "samples_seen": ledger.samples_seen,
            "samples_read": ledger.samples_read,
            "spent": ledger.spent,
            "train_seconds": ledger.train_seconds,
            "train_flops": self._flops.learned if self._flops else None,
            "predict_flops": self._flops.predicted if self._flops else None,
        }

    def _check_finite(self) -> None:
        """A network of NaNs still answers argmax; say that it diverged instead."""
        model = getattr(self._method, "model", None)
        if isinstance(model, nn.Module):
            for name, parameter in model.named_parameters():
                if not bool(torch.isfinite(parameter).all()):
                    raise RunFailure(
                        "diverged",
                        f"{name} holds NaN or infinity after learn; {DIVERGED}",
                    )


@contextlib.contextmanager
def _named_verb(verb: str) -> Iterator[None]:
    """Say in which verb an exception of the method happened."""
    try:
        yield
    except (RunFailure, BrokenPipeError, MemoryError, SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        traceback.print_exc()
        kind, reason = explained(error)
        raise RunFailure(kind, f"{verb} raised {reason}") from error


@contextlib.contextmanager
def _answering(method: Any) -> Iterator[None]:
    """Put the networks that a method holds into eval mode, and back afterwards.

    In training mode, batch normalisation answers by what other test inputs look like, and learns
    from them.
    """
    modules = _modules(method)
    modes = [module.training for module in modules]
    for module in modules:
        module.training = False
    yield
    for module, mode in zip(modules, modes, strict=True):
        module.training = mode


class _Undisturbed:
    """Random states and training modes as they are now, to be put back."""

    def __init__(self, method: Any, problem: CandidateProblem) -> None:
        self._problem = problem
        self._states = randomness(problem)
        self._modes = [(module, module.training) for module in _modules(method)]

    def put_back(self) -> None:
        """Once the method has been looked at."""
        restore_randomness(self._states, self._problem)
        for module, mode in self._modes:
            module.training = mode


def _modules(method: Any) -> list[nn.Module]:
    """The networks that a method holds, with all their parts."""
    attributes = getattr(method, "__dict__", {}).values()
    held = [value for value in attributes if isinstance(value, nn.Module)]
    return [module for network in held for module in network.modules()]


def _report(channel: Channel, kind: str, reason: str) -> None:
    with contextlib.suppress(OSError, ChannelError):
        channel.send("failed", {"kind": kind, "reason": reason[:4000]})


def _told(model: nn.Module) -> dict[str, Any]:
    """Size and hash of a network."""
    weights = {name: as_array(tensor) for name, tensor in _state(model)}
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "weights_sha256": of_weights(weights)}


def _packed(tensors: Iterable[tuple[str, Tensor]]) -> Array:
    """Tensors by name as the bytes (N,) of safetensors."""
    from safetensors.torch import save

    weights = {name: t.detach().cpu().contiguous().clone() for name, t in tensors}
    return np.frombuffer(save(weights), np.uint8)


def _state(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [(n, t) for n, t in model.state_dict().items() if isinstance(t, Tensor)]
