"""Suites that were written before the code lay in rooms still import what they used."""

import importlib

import pytest

import harness


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pictures", "CIFAR_10"),
        ("samples", "Samples"),
        ("numeric_answers", "answer"),
        ("vision", "cnn"),
    ],
)
def test_a_shared_module_is_found_where_it_was(module, name):
    assert hasattr(importlib.import_module(f"suites.shared.{module}"), name)


def test_so_are_the_data_sets_decoder_and_cache():
    from harness import cache, images

    assert (images.__name__, cache.__name__) == (
        "harness.datasets.images",
        "harness.datasets.cache",
    )
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        harness.nothing  # noqa: B018
