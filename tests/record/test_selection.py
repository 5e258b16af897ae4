from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kiterec.errors import SetupError
from kiterec.record.selection import Selection, read_selection
from kiterec.ticks.instruments import InstrumentDump
from tests.record.exchange import DUMP

if TYPE_CHECKING:
    from pathlib import Path

INFY, TCS, NIFTY = 408065, 2953217, 256265


@pytest.fixture
def dump() -> InstrumentDump:
    return InstrumentDump.from_csv(DUMP)


def test_tokens_need_no_dump_and_come_once() -> None:
    selection = read_selection(["408065, 1", "1,408065"])
    assert not selection.needs_dump
    assert selection.tokens(None) == [408065, 1]


def test_names_wildcards_and_tokens_mix(dump: InstrumentDump) -> None:
    selection = read_selection(["NSE:T*,77", "NSE:INFY,408065,NSE:NIFTY 50"])
    assert selection.needs_dump
    assert selection.tokens(dump) == [TCS, 77, INFY, NIFTY]


def test_all_is_every_instrument_of_the_dump_and_what_else_was_asked(dump: InstrumentDump) -> None:
    selection = read_selection(["99,all"])
    assert selection == Selection((99,), everything=True)
    assert selection.tokens(dump) == [INFY, TCS, NIFTY, 99]


@pytest.mark.parametrize(("word", "shown"), [("all", "'all'"), ("5,NSE:INFY", "'NSE:INFY'")])
def test_what_needs_a_dump_is_refused_without_one(word: str, shown: str) -> None:
    with pytest.raises(SetupError, match=f"{shown} needs the instrument dump of the day, and there is none"):
        read_selection([word]).tokens(None)


def test_an_unknown_name_is_refused(dump: InstrumentDump) -> None:
    with pytest.raises(SetupError, match="INFI"):
        read_selection(["NSE:INFI"]).tokens(dump)


def test_a_file_of_words_may_have_comments_and_several_on_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("# the first\n408065, NSE:TCS  # two\n\n  77\n")
    assert read_selection([f"5,@{path}"]).words == (5, 408065, "NSE:TCS", 77)


def test_a_csv_gives_its_tokens_or_its_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("name, instrument_token\nInfosys, 408065\nTata,2953217\n")
    assert read_selection([f"@{path}"]).words == (INFY, TCS)
    path.write_text("exchange,tradingsymbol\nNSE,INFY\n")
    assert read_selection([f"@{path}"]).words == ("NSE:INFY",)


def test_a_csv_without_the_columns_is_refused_with_those_it_has(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("token,exchange\n408065,NSE\n")
    with pytest.raises(
        SetupError, match=r"mine.csv has the columns token, exchange; expected instrument_token, or"
    ):
        read_selection([f"@{path}"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("instrument_token\nabc\n", "'abc' is no instrument"),
        ("instrument_token,x\n,1\n", "'' is no instrument"),
        ("instrument_token\n", "names no instrument"),
        ("", "names no instrument"),
    ],
)
def test_a_csv_with_wrong_rows_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(SetupError, match=sentence):
        read_selection([f"@{path}"])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"instruments file .*gone cannot be read: No such file"):
        read_selection([f"@{tmp_path}/gone"])
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SetupError, match="it is not UTF-8"):
        read_selection([f"@{tmp_path}/bytes"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "no instruments were asked for"),
        ([" , "], "no instruments were asked for"),
        (["INFY"], "'INFY' is no instrument, expected a token or EXCHANGE:SYMBOL"),
        (["NSE:"], "'NSE:' is no instrument"),
        (["0"], "0 is no instrument_token, expected 1 to"),
        (["4294967296"], "4294967296 is no instrument_token"),
        (["-5"], "'-5' is no instrument"),
    ],
)
def test_strange_words_are_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(SetupError, match=sentence):
        read_selection(words)
