"""Payloads meant to harm, and payloads that came to harm: refused at once, in words, within bounded memory."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import pytest

from dealgate.adapters.mappings import SHIPPED, HostMapping, MappingError, load_mapping
from tests.adapters.mappings import hosts
from tests.adapters.mappings.test_shipped_mappings import DEAL, LOAN, WRITERS

XML = ("routeone", "meridianlink", "absee")
GOOD = {name: write(DEAL) for name, write in WRITERS.items()} | {"absee": hosts.absee(LOAN)}
LARGE = 50_000_000


@pytest.fixture(scope="module")
def mappings() -> Mapping[str, HostMapping]:
    return {name: load_mapping(name) for name in SHIPPED}


def refusal(mapping: HostMapping, payload: bytes) -> str:
    """The message of the one problem that keeps a payload from being read."""
    with pytest.raises(MappingError) as caught:
        list(mapping.deals(payload))
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{mapping.name}: ")
    return problem.message


def with_prologue(name: str, prologue: str, reference: str = "") -> bytes:
    head, mark, rest = GOOD[name].partition(b"?>")
    cut = rest.rindex(b"</")
    return head + mark + prologue.encode() + rest[:cut] + reference.encode() + rest[cut:]


BOMB = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {name} '{f'&{before};' * 10}'>" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
PROLOGUES = {
    "a billion laughs": (BOMB + "]>", "<y>&i;</y>"),
    "one long entity": (f"<!DOCTYPE x [<!ENTITY a '{'a' * 50_000}'>]>", f"<y>{'&a;' * 1_000}</y>"),
    "a file of the machine": ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>', "<y>&a;</y>"),
    "an address": ('<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">', ""),
    "a parameter entity": ('<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;]>', ""),
    "an unused DTD": ("<!DOCTYPE x>", ""),
}


@pytest.mark.parametrize("name", XML)
@pytest.mark.parametrize("case", PROLOGUES)
def test_no_dtd_and_no_entity_is_read(name: str, case: str, mappings: Mapping[str, HostMapping]) -> None:
    assert refusal(mappings[name], with_prologue(name, *PROLOGUES[case])).startswith("a DTD is not read")


def test_an_entity_without_a_dtd_is_no_xml(mappings: Mapping[str, HostMapping]) -> None:
    assert "undefined entity" in refusal(mappings["routeone"], with_prologue("routeone", "", "<y>&i;</y>"))


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "cut short": lambda good: good[: len(good) * 2 // 3],
    "NUL": lambda good: good[:-30] + b"\0" + good[-30:],
    "latin-1": lambda good: good.replace(b"First", "Première".encode("latin-1")).replace(b"VT", "É".encode("latin-1")),
    "noise": lambda good: bytes(range(256)) * 4,
    "something behind it": lambda good: good + b'"<',
}


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_payload_is_refused_in_words(name: str, damage: str, mappings: Mapping[str, HostMapping]) -> None:
    assert refusal(mappings[name], DAMAGES[damage](GOOD[name]))


@pytest.mark.parametrize("name", ["dealertrack", "csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_of_text_are_refused(name: str, encoding: str, mappings: Mapping[str, HostMapping]) -> None:
    assert refusal(mappings[name], GOOD[name].decode("utf-8-sig").encode(encoding))


def test_xml_is_read_in_the_encoding_that_it_declares_and_in_no_other(mappings: Mapping[str, HostMapping]) -> None:
    text = GOOD["routeone"].decode().replace("First Bank", "Première Banque")
    for encoding in ("utf-8", "iso-8859-1", "utf-16"):
        declared = text.replace("encoding='utf-8'", f"encoding='{encoding}'").encode(encoding)
        assert mappings["routeone"].deal(declared).deal.trade_ins[
            0
        ].lienholder == "Première Banque &amp; Trust".replace("&amp;", "&")
    assert "not XML" in refusal(mappings["routeone"], text.encode("utf-16"))
    assert "not XML" in refusal(mappings["routeone"], text.replace("utf-8", "utf-7").encode())
    assert "not XML" in refusal(mappings["routeone"], text.replace("utf-8", "no-such").encode())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_byte_order_mark_is_no_part_of_the_text(name: str, mappings: Mapping[str, HostMapping]) -> None:
    good = GOOD[name].removeprefix(b"\xef\xbb\xbf")
    assert mappings[name].deal(b"\xef\xbb\xbf" + good).document == mappings[name].deal(good).document


def test_deep_nesting_is_refused(mappings: Mapping[str, HostMapping]) -> None:
    for name in XML:
        assert refusal(mappings[name], b"<a>" * 60_000) in ("nested deeper than 50 levels", "another kind of document")
    nested = with_prologue("routeone", "", "<a>" * 60 + "</a>" * 60)
    assert refusal(mappings["routeone"], nested) == "nested deeper than 50 levels"
    assert refusal(mappings["dealertrack"], b'{"a":' * 60 + b"1" + b"}" * 60) == "nested deeper than 50 levels"
    assert refusal(mappings["dealertrack"], b'{"a":' * 100_000) == "nested too deeply"


def test_too_many_values_are_refused(mappings: Mapping[str, HostMapping]) -> None:
    assert refusal(mappings["routeone"], with_prologue("routeone", "", "<a/>" * 30_000)).startswith(
        "more than 20,000 values"
    )
    many = json.dumps({"a": [1] * 30_000}).encode()
    assert refusal(mappings["dealertrack"], many).startswith("more than 20,000 values")
    assert (
        refusal(mappings["csv"], b",".join(b"a%d" % number for number in range(1_500)) + b"\n")
        == "more than 1,000 columns"
    )


def test_text_beside_elements_and_doubled_attributes_are_refused(mappings: Mapping[str, HostMapping]) -> None:
    assert refusal(mappings["routeone"], with_prologue("routeone", "", "1500.00")) == "text and elements side by side"
    doubled = b'<VEHICLE_LOAN xmlns:a="urn:a"><LOAN_INFO down_payment="1" a:down_payment="2"/></VEHICLE_LOAN>'
    assert refusal(mappings["meridianlink"], doubled) == "two attributes have one local name"


def test_a_long_text_that_begins_like_an_amount_takes_no_time(mappings: Mapping[str, HostMapping]) -> None:
    mapped = mappings["dealertrack"].deal(hosts.dealertrack(DEAL, Price=f"1{' ' * 500_000}x"))
    assert mapped.unread == ("Price",)


JSON = {
    "a repeated name": (b'{"CashDown": 1, "CashDown": 2}', "named twice in one object"),
    "NaN": (b'{"CashDown": NaN}', "not a JSON number"),
    "a list": (b"[1, 2]", "not a JSON object"),
    "a number": (b"12", "not a JSON object"),
    "an endless number": (b'{"CashDown": ' + b"9" * 10_000 + b"}", "not JSON"),
}


@pytest.mark.parametrize("case", JSON)
def test_json_that_says_nothing_certain_is_refused(case: str, mappings: Mapping[str, HostMapping]) -> None:
    payload, message = JSON[case]
    assert refusal(mappings["dealertrack"], payload).startswith(message)


CSV = {
    "two columns of one name": (b"cash_down,cash_down\n1,2\n", "two columns have one name"),
    "a column without a name": (b"cash_down,\n1,2\n", "a column without a name"),
    "a short row": (b"deal_id,cash_down\nD-1\n", "the header has 2 columns"),
    "a long row": (b"deal_id,cash_down\nD-1,2,3\n", "the header has 2 columns"),
    "an open quote": (b'deal_id,cash_down\n"D-1,2\n', "not CSV: unexpected end of data"),
    "an open quote before much": (b'deal_id,cash_down\n"' + b"D-1,2\n" * 50_000, "not CSV: field larger"),
}


@pytest.mark.parametrize("case", CSV)
def test_a_table_that_is_not_square_is_refused(case: str, mappings: Mapping[str, HostMapping]) -> None:
    payload, message = CSV[case]
    assert refusal(mappings["csv"], payload).startswith(message)


def test_another_delimiter_is_read_where_the_mapping_declares_it(
    tmp_path: Path, mappings: Mapping[str, HostMapping]
) -> None:
    semicolons = GOOD["csv"].replace(b",", b";")
    with pytest.raises(MappingError, match="deal_id"):
        mappings["csv"].deal(semicolons)
    document = mappings["csv"].text.replace("{format: csv,", '{format: csv, delimiter: ";",')
    (tmp_path / "own.yaml").write_text(document, encoding="utf-8")
    assert (
        load_mapping(str(tmp_path / "own.yaml")).deal(semicolons).document == mappings["csv"].deal(GOOD["csv"]).document
    )


class Counting(BytesIO):
    """A stream that knows how much was read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        self.taken += len(block)
        return block

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        self.taken += len(line)
        return line


ENDLESS = {
    "routeone": (b"<ProcessCreditApplication><a>", b"9"),
    "meridianlink": (b'<VEHICLE_LOAN a="', b"9"),
    "dealertrack": (b'{"CashDown": "', b"9"),
    "csv": (b"deal_id,cash_down\n", b"9"),
    "absee": (b"<assetData><assets><originalLoanAmount>", b"9"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_of_a_large_document_little_more_is_read_than_a_deal_may_have(
    name: str, mappings: Mapping[str, HostMapping]
) -> None:
    head, filling = ENDLESS[name]
    stream = Counting(head + filling * 5_000_000)
    with pytest.raises(MappingError, match=r"more than 1,000,000 bytes"):
        list(mappings[name].deals(stream))
    assert stream.taken < 1_200_000


def test_nothing_is_kept_of_what_stands_outside_of_records(mappings: Mapping[str, HostMapping]) -> None:
    stream = Counting(b"<assetData>" + b"<note>x</note>" * 400_000)
    with pytest.raises(MappingError, match=r"more than 1,000,000 bytes"):
        list(mappings["absee"].deals(stream))
    assert stream.taken < 1_200_000


MEASURE = """
import resource, sys
from dealgate.adapters.mappings import MappingError, load_mapping
name, good, large = sys.argv[1:]
mapping = load_mapping(name)
with open(good, "rb") as stream:
    list(mapping.read(stream))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(large, "rb") as stream:
    try:
        list(mapping.read(stream))
    except MappingError as error:
        print(error.problems[0].message)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("name", ENDLESS)
def test_a_document_of_50_mb_takes_no_memory_to_speak_of(name: str, tmp_path: Path) -> None:
    head, filling = ENDLESS[name]
    good, large = tmp_path / "good", tmp_path / "large"
    good.write_bytes(GOOD[name])
    with large.open("wb") as file:
        file.write(head)
        for _ in range(50):
            file.write(filling * (LARGE // 50))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, name, str(good), str(large)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    message, kilobytes = done.stdout.splitlines()
    assert message == "more than 1,000,000 bytes" if name != "csv" else message == "a line of more than 1,000,000 bytes"
    assert int(kilobytes) < 20_000
