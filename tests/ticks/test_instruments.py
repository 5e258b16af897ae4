"""The day's instrument dump: typed, looked up by token and by name, and refused with what is wrong."""

from __future__ import annotations

import gzip
from datetime import date
from typing import TYPE_CHECKING

import pytest

from kiterec.errors import SetupError, StorageError
from kiterec.ticks.instruments import INSTRUMENT_SCHEMA, InstrumentDump, parse_instruments
from tests.ticks.recordings import DUMP

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def dump() -> InstrumentDump:
    return InstrumentDump.from_csv(DUMP.encode(), where="test.csv")


def test_columns_are_typed_and_an_empty_expiry_is_null(dump: InstrumentDump) -> None:
    assert dump.table.schema == INSTRUMENT_SCHEMA
    assert dump.table.get_column("expiry").to_list() == [None, date(2026, 12, 29), date(2026, 12, 29), None]
    assert dump.table.row(2, named=True)["strike"] == 25_000.0
    assert dump.table.row(1, named=True)["name"] == "NIFTY, THE"
    assert len(dump) == 4
    assert repr(dump) == "InstrumentDump(4 instruments of NSE, NFO)"


def test_a_gzipped_dump_is_the_same() -> None:
    plain, packed = (
        parse_instruments(csv, where="x") for csv in (DUMP.encode(), gzip.compress(DUMP.encode()))
    )
    assert plain.equals(packed)


def test_columns_in_another_order_and_new_ones_do_not_matter(dump: InstrumentDump) -> None:
    table = dump.table.with_columns(isin=1).select(reversed(["isin", *INSTRUMENT_SCHEMA]))
    assert parse_instruments(table.write_csv().encode(), where="x").equals(dump.table)


def test_tokens_and_names_lead_to_each_other(dump: InstrumentDump) -> None:
    assert dump.tokens() == [256001, 256257, 256513, 256265]
    assert [dump.resolve(str(dump.symbol_of(token))) for token in dump.tokens()] == dump.tokens()
    assert dump.symbol_of(7) is None


def test_words_select_by_token_name_and_pattern_in_their_order_and_once(dump: InstrumentDump) -> None:
    assert dump.select(["NFO:NIFTY*", "NSE:INFY", 9, "256257", "NSE:INFY"]) == [256257, 256513, 256001, 9]
    assert dump.select(["NFO:*CE"]) == [256513]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("NSE:INFI", "no instrument NSE:INFI in the dump of 4; did you mean NSE:INFY"),
        ("INFY", "did you mean NSE:INFY"),
        ("nse:infy", "did you mean NSE:INFY"),
        ("QQQ", "a name is EXCHANGE:TRADINGSYMBOL"),
        ("BSE:*", r"fits 'BSE:\*'; a pattern is EXCHANGE:NAME\*"),
    ],
)
def test_an_unknown_word_is_refused_with_the_closest_names(
    dump: InstrumentDump, word: str, sentence: str
) -> None:
    with pytest.raises(SetupError, match=sentence):
        dump.select([word])


@pytest.mark.parametrize(
    ("csv", "sentence"),
    [
        (
            DUMP.replace("instrument_token,", "token,", 1),
            "lacks the columns instrument_token; it has token, ex",
        ),
        ("", "is no CSV"),
        ("\x1f\x8bnot gzip", "is no CSV"),
        ("<html>oops</html>", "lacks the columns"),
        (DUMP.replace("256257", "many"), "has 'many' as instrument_token in row 3"),
        (DUMP.replace("256513", ""), "has None as instrument_token in row 4"),
        (DUMP.replace("2026-12-29", "soon"), "has 'soon' as expiry in row 3"),
        (DUMP.replace("256001", "-1"), "has '-1' as instrument_token in row 2"),
    ],
)
def test_a_dump_that_cannot_be_read_says_where_and_what(csv: str, sentence: str) -> None:
    with pytest.raises(SetupError, match=f"the instrument dump of.csv .*{sentence}.*download it again"):
        parse_instruments(csv.encode("latin-1"), where="of.csv")


def test_a_dump_kept_as_parquet_is_the_same(dump: InstrumentDump, tmp_path: Path) -> None:
    path = tmp_path / "instruments.parquet"
    dump.table.write_parquet(path)
    assert InstrumentDump.from_parquet(path).table.equals(dump.table)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 no"])
def test_a_parquet_that_cannot_be_read_is_a_storage_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "instruments.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"the instrument dump .*instruments.parquet cannot be read"):
        InstrumentDump.from_parquet(path)
