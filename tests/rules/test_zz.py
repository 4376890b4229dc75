from tests.rules.strategies import Y


def test_it() -> None:
    assert Y == 1
