"""Deal documents and hosts' payloads, broken in every way that comes to mind: refused in words, never a failure inside."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dealgate.adapters.database import open_database, upgrade_database
from tests.adapters.mappings.test_hostile_payloads import GOOD
from tests.adapters.service.hosting import Hosted
from tests.faults.efforts import efforts
from tests.models.samples import a_deal

ODD: list[Any] = [
    None,
    True,
    [],
    {},
    "",
    " ",
    "\x00",
    "\ud800",
    "1e400",
    "-0.00",
    0,
    -1,
    2**63,
    10**400,
    0.1,
    1e308,
    "NaN",
    "ß" * 200,
]
TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.sampled_from(ODD).map(deepcopy) | TEXT | st.integers() | st.floats(allow_nan=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    url = f"sqlite:///{tmp_path_factory.mktemp('fuzzed') / 'deals.db'}"
    engine = open_database(url)
    upgrade_database(engine)
    engine.dispose()
    host = Hosted(url, policy="prime-auto", rate_limit="1000000/minute")
    yield host
    host.close()


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every value in a document."""
    inside = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, below in inside:
        yield (*path, name)
        yield from places(below, (*path, name))


PLACES = list(places(a_deal()))


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """The sample deal with some values exchanged, left out, or put where nobody knows them."""
    deal = a_deal()
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=4)):
        place: Any = deal
        try:
            for name in path[:-1]:
                place = place[name]
            match draw(st.integers(0, 2)):
                case 0:
                    place[path[-1]] = draw(VALUES)
                case 1:
                    del place[path[-1]]
                case _:
                    place[draw(TEXT)] = draw(VALUES)
        except (LookupError, TypeError):
            continue  # an earlier change took the place away
    return json.dumps(deal).encode()


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """Cut, doubled, or with bytes exchanged."""
    data = bytearray(draw(texts))
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, max(0, len(data) - 1))), draw(st.integers(0, 12))
        data[at : at + length] = draw(st.binary(max_size=8) | st.just(bytes(data[at : at + 40])))
    return bytes(data)


def check(hosted: Hosted, path: str, body: bytes) -> None:
    answer = hosted.post("sam", path, content=body)
    assert answer.status_code in {200, 201, 413, 422}, f"{answer.status_code}: {answer.text}"
    if answer.status_code == 422:
        assert all(one["message"] and one["remedy"] for one in answer.json()["problems"])


@efforts(60, 20_000)
def test_no_deal_document_is_a_failure_inside(hosted: Hosted, effort: int) -> None:
    @settings(max_examples=effort, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(["/v1/submissions", "/v1/evaluations"]), damaged(documents()) | documents())
    def run(path: str, body: bytes) -> None:
        check(hosted, path, body)

    run()


@pytest.mark.parametrize("mapping", sorted(GOOD))
@efforts(25, 5_000)
def test_no_payload_of_a_host_is_a_failure_inside(hosted: Hosted, mapping: str, effort: int) -> None:
    @settings(max_examples=effort, deadline=None, suppress_health_check=list(HealthCheck))
    @given(damaged(st.just(GOOD[mapping])))
    def run(body: bytes) -> None:
        check(hosted, f"/v1/submissions?mapping={mapping}", body)

    run()
