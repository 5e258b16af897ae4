"""Writes the generated parts of the docs from the tables in the code; `--check` says if they are current.

A part is what lies between `<!-- made by docs/generate.py: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import polars as pl

from kiterec.ticks.schema import COLUMNS, Column, tick_schema
from kiterec.wire.packets import DEPTH_ENTRY_BYTES, DEPTH_FIELDS, LAYOUTS
from kiterec.wire.segments import SEGMENTS

HERE = Path(__file__).parent
PART = re.compile(r"(<!-- made by docs/generate\.py: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def columns() -> str:
    """Give the columns of the tick table."""
    lines = ["| column | type | unit | in packets of | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `{column.name}` | {_type(column)} | {column.unit} | {_lengths(column)} | {column.meaning} |"
        for column in COLUMNS
    ]
    return "\n".join(lines)


def packets() -> str:
    """Give the packet layouts: which field is where."""
    lines = ["| bytes | packet | mode | fields: offset name |", "|--:|---|---|---|"]
    for layout in LAYOUTS.values():
        fields = ", ".join(f"{field.offset} {field.name}" for field in layout.fields)
        if layout.depth_offset is not None:
            entry = ", ".join(f"{field.offset} {field.name}" for field in DEPTH_FIELDS)
            entries = f"five bids and five offers of {DEPTH_ENTRY_BYTES} bytes ({entry})"
            fields += f", {layout.depth_offset} depth: {entries}"
        lines.append(f"| {layout.length} | {layout.name} | {layout.mode} | {fields} |")
    return "\n".join(lines)


def segments() -> str:
    """Give the exchange segments."""
    lines = ["| id | segment | price divisor | tradable |", "|--:|---|--:|---|"]
    lines += [
        f"| {segment.id} | {segment.name} | {segment.divisor:,} | {'yes' if segment.tradable else 'no'} |"
        for segment in SEGMENTS.values()
    ]
    return "\n".join(lines)


PARTS = {"columns": columns, "packets": packets, "segments": segments}


def generated(page: str) -> str:
    """Give a page with its generated parts made anew."""
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n\n{part[3]}", page)


def _type(column: Column) -> str:
    floats, ints = tick_schema(), tick_schema("int")
    if column.name not in floats:
        return f"{_word(ints[column.name])} (int)"
    if floats[column.name] == ints[column.name]:
        return _word(floats[column.name])
    return f"{_word(floats[column.name])} (int: {_word(ints[column.name])})"


def _word(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Array):
        return f"Array({dtype.inner}, {dtype.size})"
    if isinstance(dtype, pl.Datetime):
        return f"Datetime({dtype.time_unit}, {dtype.time_zone})"
    return type(dtype).__name__


def _lengths(column: Column) -> str:
    lengths = column.lengths()
    return "all" if len(lengths) == len(LAYOUTS) else ", ".join(map(str, sorted(lengths)))


def main() -> int:
    """Write the pages; with `--check`, give 1 if one would change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is not current")
    check = parser.parse_args().check
    stale = []
    for path in sorted(HERE.glob("*.md")):
        page = path.read_text("utf-8")
        if generated(page) != page:
            stale.append(path.name)
            if not check:
                path.write_text(generated(page), "utf-8")
    if stale:
        sys.stderr.write(f"{'not current' if check else 'written'}: {', '.join(stale)}\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
