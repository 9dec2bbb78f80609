"""A method's state: its object as bytes, from which another process of the same code goes on.

Everything that the object reaches by its attributes is in it, tensors on whatever device; what two
of them share stays shared. The problem and its generator are named in it instead. Gradients are
not kept, nor is what lies outside of the object: globals of a module, closures, files.
"""

from __future__ import annotations

import io
import pickle
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from harness.candidate.problem import CandidateProblem
from harness.contract import Array
from harness.errors import RunFailure

_HERE = __name__


def the_problem() -> CandidateProblem:
    """Stands in the bytes for the problem; whoever reads them puts in its own."""
    raise pickle.UnpicklingError("a state is read with `unpacked`")


def the_generator() -> torch.Generator:
    """Stands in the bytes for the problem's generator."""
    raise pickle.UnpicklingError("a state is read with `unpacked`")


def packed(method: Any, problem: CandidateProblem) -> Array:
    """The bytes (N,) uint8 of a method.

    Raises RunFailure("contract") that names the attribute which cannot be carried.
    """
    try:
        return _bytes(method, problem)
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        raise RunFailure("contract", _explained(method, problem, error)) from error


def unpacked(state: Array, problem: CandidateProblem) -> Any:
    """The method behind the bytes, of which every class is imported already or can be."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str, /) -> Any:
            if module == _HERE:
                return {
                    the_problem.__name__: lambda: problem,
                    the_generator.__name__: lambda: problem.rng,
                }[name]
            return super().find_class(module, name)

    reading = SimpleNamespace(__name__="pickle", Unpickler=Unpickler, load=pickle.load)
    return torch.load(io.BytesIO(state.data), weights_only=False, pickle_module=reading)


def randomness(problem: CandidateProblem) -> Array:
    """The states of all generators that a method may draw from, as bytes (N,) uint8."""
    states = {
        "torch": torch.get_rng_state(),
        "problem": problem.rng.get_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(),
    }
    if problem.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state_all()
    return np.frombuffer(pickle.dumps(states), np.uint8)


def restore_randomness(states: Array, problem: CandidateProblem) -> None:
    """Put generators into the states that `randomness` told."""
    found = pickle.loads(states.tobytes())
    torch.set_rng_state(found["torch"])
    problem.rng.set_state(found["problem"])
    random.setstate(found["python"])
    np.random.set_state(found["numpy"])
    if "cuda" in found:
        torch.cuda.set_rng_state_all(found["cuda"])


def _bytes(value: Any, problem: CandidateProblem) -> Array:
    class Pickler(pickle.Pickler):
        def reducer_override(self, obj: Any, /) -> Any:
            if obj is problem:
                return the_problem, ()
            if obj is problem.rng:
                return the_generator, ()
            return NotImplemented

    writing = SimpleNamespace(__name__="pickle", Pickler=Pickler)
    sink = io.BytesIO()
    torch.save(value, sink, pickle_module=writing)
    return np.frombuffer(sink.getbuffer(), np.uint8)


def _explained(method: Any, problem: CandidateProblem, error: Exception) -> str:
    """Which attribute cannot be carried, and why."""
    for name, value in getattr(method, "__dict__", {}).items():
        try:
            _bytes(value, problem)
        except Exception as cause:
            return (
                f"self.{name} cannot be carried from one experience to the next "
                f"({type(cause).__name__}: {_line(cause)}); keep what pickle can write: tensors, "
                "modules, numbers, functions of a module"
            )
    return (
        f"the method cannot be carried from one experience to the next ({type(error).__name__}: "
        f"{_line(error)}); keep in it what pickle can write"
    )


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300]
