"""A policy version is compiled once while it is in use, and leaves nothing behind when it is not."""

import gc

import psutil

from dealgate import Policy
from dealgate.adapters.policies import PolicyDocument, check_policy, load_policy
from tests.fuzzing.random_policies import Author


def test_a_version_in_use_is_compiled_once() -> None:
    first = check_policy(load_policy("prime-auto"))

    assert check_policy(load_policy("prime-auto")) is first
    assert check_policy(load_policy("subprime-auto")) is not first


def test_loading_and_dropping_hundreds_of_versions_returns_the_memory() -> None:
    """The engine's rulesets go too: Python's layer around durable_rules would keep them for ever."""

    def load(seed: int) -> None:
        text = Author(seed).policy(12)
        check_policy(PolicyDocument(text, Policy.from_text(text)))

    def resident() -> int:
        gc.collect()
        return psutil.Process().memory_info().rss >> 10

    for seed in range(30):
        load(seed)
    before = resident()
    for seed in range(30, 100):
        load(seed)

    assert resident() < before * 1.1
