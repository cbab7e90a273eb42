"""JSON as columns against Python's own json, float and repr."""

from __future__ import annotations

import datetime
import json
import math
import struct
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats.json import Decoder, decode, encode
from connectors.formats.numbers import to_double, write_double
from connectors.kafka import Bytes
from streams.types import Type

SCHEMA = {
    "key": Type.STRING,
    "at": Type.TIMESTAMP,
    "delay": Type.DOUBLE,
    "rate": Type.FLOAT,
    "big": Type.BIGINT,
    "mid": Type.INT,
    "small": Type.SMALLINT,
    "yes": Type.BOOL,
    "day": Type.DATE,
}
ROOM = {Type.SMALLINT: 16, Type.INT: 32, Type.BIGINT: 64, Type.TIMESTAMP: 64}
WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FLOATS = st.one_of(
    st.floats(),
    st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]),
    st.integers(-(10**6), 10**6).map(lambda n: n / 100),
    st.builds(lambda n, places: n / 10**places, st.integers(-(10**16), 10**16), st.integers(0, 8)),
)
GOOD: dict[Type, st.SearchStrategy[Any]] = {
    Type.STRING: WORD,
    Type.TIMESTAMP: st.integers(-(2**63), 2**63 - 1),
    Type.DOUBLE: st.one_of(FLOATS, st.integers()),
    Type.FLOAT: st.floats(width=32),
    Type.BIGINT: st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-9, 9).map(float)),
    Type.INT: st.integers(-(2**31), 2**31 - 1),
    Type.SMALLINT: st.integers(-(2**15), 2**15 - 1),
    Type.BOOL: st.booleans(),
    Type.DATE: st.dates().map(str),
}
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), FLOATS, WORD, st.dates().map(str), st.integers(2**15 - 2, 2**63 + 2)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(WORD, inner, max_size=2)),
    max_leaves=3,
)


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    """Mostly right records, some with anything in some field, some damaged, in any spacing."""
    items: list[tuple[str, Any]] = []
    for name, kind in draw(st.permutations(list(SCHEMA.items()))) if draw(st.booleans()) else SCHEMA.items():
        turn = draw(st.integers(0, 20))
        if turn > 2:
            items.append((name, draw(GOOD[kind])))
        elif turn > 0:
            items.append((name, draw(st.one_of(st.none(), ANY))))
    if draw(st.integers(0, 4)) == 0:
        items.append((draw(st.one_of(WORD, st.sampled_from(list(SCHEMA)))), draw(ANY)))
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    ascii_only = draw(st.booleans())
    body = f",{space}".join(
        json.dumps(name, ensure_ascii=ascii_only) + f"{space}:{space}" + json.dumps(cell, ensure_ascii=ascii_only) for name, cell in items
    )
    text = f"{space}{{{space}{body}{space}}}{space}".encode()
    harm = draw(st.integers(0, 12))
    if harm == 0:
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.binary(max_size=2)) + text[at + draw(st.integers(0, 2)) :]
    elif harm == 1:
        text = text[: draw(st.integers(0, len(text)))]
    elif harm == 2:
        return draw(st.one_of(st.none(), ANY.map(lambda cell: json.dumps(cell).encode())))
    return text


def referee(value: bytes | None, required: tuple[str, ...] = ()) -> list[Any] | None:
    """What the record says by Python's json, or None where it must be refused."""
    if not value:
        return None
    try:
        found = json.loads(value.decode(), parse_int=lambda text: -0.0 if text == "-0" else int(text))
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    row = []
    for name, kind in SCHEMA.items():
        cell = found.get(name)
        if cell is None:
            if name in required:
                return None
            row.append(None)
            continue
        is_number = type(cell) in (int, float)
        if kind is Type.STRING:
            if not isinstance(cell, str) or any(0xD800 <= ord(letter) < 0xE000 for letter in cell):
                return None
        elif kind in (Type.DOUBLE, Type.FLOAT):
            if not is_number:
                return None
            try:
                cell = float(cell)
            except OverflowError:
                cell = math.copysign(math.inf, cell)
            if kind is Type.FLOAT:
                with np.errstate(over="ignore"):
                    cell = float(np.float32(cell))
        elif kind in ROOM:
            if (
                not is_number
                or (isinstance(cell, float) and not cell.is_integer())
                or not -(2 ** (ROOM[kind] - 1)) <= cell < 2 ** (ROOM[kind] - 1)
            ):
                return None
            cell = int(cell)
        elif kind is Type.BOOL:
            if not isinstance(cell, bool):
                return None
        else:
            try:
                cell = datetime.datetime.strptime(cell, "%Y-%m-%d").date() if len(cell) == 10 and cell.isascii() else None
            except (ValueError, TypeError):
                cell = None
            if cell is None:
                return None
        row.append(cell)
    return row


def bits(cell: Any) -> Any:
    """Equal where the values are the same, NaN and the sign of zero included."""
    return struct.pack("<d", cell) if isinstance(cell, float) and cell == cell else "nan" if isinstance(cell, float) else cell


def rows_of(table: pa.Table) -> list[list[Any]]:
    columns = [
        column.cast(pa.int64()).to_pylist() if pa.types.is_timestamp(column.type) else column.to_pylist() for column in table.columns
    ]
    return [list(row) for row in zip(*columns, strict=True)]


@given(st.lists(values(), max_size=12), st.sampled_from([(), ("at",), ("key", "at")]))
def test_records_are_read_as_python_reads_them(found: list[bytes | None], required: tuple[str, ...]) -> None:
    table, good, errors = decode(Bytes.of(found), SCHEMA, required=required)
    wished = {place: row for place, value in enumerate(found) if (row := referee(value, required)) is not None}
    assert good.tolist() == list(wished)
    assert sorted([*good.tolist(), *(place for place, _ in errors)]) == list(range(len(found)))
    assert [[bits(cell) for cell in row] for row in rows_of(table)] == [[bits(cell) for cell in row] for row in wished.values()]
    assert table.schema.types == [kind.arrow for kind in SCHEMA.values()]
    table.validate(full=True)


def checked(found: list[bytes | None]) -> None:
    """Read all at once, and each by itself (nothing stands behind it in the buffer)."""
    wished = {place: row for place, value in enumerate(found) if (row := referee(value, ())) is not None}
    table, good, _ = decode(Bytes.of(found), SCHEMA)
    assert good.tolist() == list(wished)
    assert [[bits(cell) for cell in row] for row in rows_of(table)] == [[bits(cell) for cell in row] for row in wished.values()]
    for place in range(0, len(found), 7):
        alone, good, _ = decode(Bytes.of([found[place]]), SCHEMA)
        assert len(good) == (place in wished)
        assert place not in wished or [bits(cell) for cell in rows_of(alone)[0]] == [bits(cell) for cell in wished[place]]


PIECES = [bytes([byte]) for byte in range(256)] + ["ü".encode(), "€".encode(), "😀".encode(), b"\\n", b'\\"', b"\\u00e9", b"\xed\xa0\x80"]


@pytest.mark.parametrize("before", [0, 1, 6, 7, 8, 9, 15, 16])
def test_any_byte_anywhere_in_a_text_a_name_or_a_number(before: int) -> None:
    """Eight bytes are looked at together: what is special must be found at each place of them."""
    checked([b'{"key":"' + b"a" * before + piece + b"z" * after + b'","mid":5}' for piece in PIECES for after in (0, 1, 7, 9)])
    checked([b'{"' + b"n" * before + piece + b'":1,"mid":5}' for piece in PIECES])
    checked([b'{"big":' + b"123456789012345678901"[:before] + piece + b"70"[:after] + b"}" for piece in PIECES for after in (0, 1, 2)])


def test_names_of_any_length_that_are_the_beginning_of_others_or_need_escapes() -> None:
    names = ["", "a", "ab", "abcdefg", "abcdefgh", "abcdefghi", "abcdefghabcdefgh", "ü" * 5, 'with"quote', "back\\slash", "line\nbreak"]
    schema = dict.fromkeys(names, Type.INT)
    row = {name: place for place, name in enumerate(names)}
    orders = [names, names[::-1], names[3:] + names[:3], names[::2], [names[4]], [names[5], names[4]]]
    found = [json.dumps({name: row[name] for name in order}, ensure_ascii=plain).encode() for order in orders for plain in (True, False)]
    table, good, errors = decode(Bytes.of(found), schema)
    assert errors == [] and len(good) == len(found)
    wished = [{name: row[name] if name in order else None for name in names} for order in orders for _ in (True, False)]
    assert [dict(zip(names, cells, strict=True)) for cells in rows_of(table)] == wished
    assert decode(Bytes.of([b'{"with"quote":1}', b'{"back\\slash":1}', b'{"line\nbreak":1}', b'{"abcdefgX":1}']), schema).good.tolist() == [
        3
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"delay": "x"}', 'field delay: DOUBLE wanted, met text "x"'),
        (b'{"delay": [1]}', "field delay: DOUBLE wanted, met an array"),
        (b'{"delay": true}', "field delay: DOUBLE wanted, met true"),
        (b'{"mid": 2147483648}', "field mid: INT wanted (32 bits), met number 2147483648, which does not fit"),
        (b'{"mid": 1.5}', "field mid: INT wanted, met number 1.5"),
        (b'{"small": NaN}', "field small: SMALLINT wanted, met number nan"),
        (
            b'{"at": "2013-01-01T00:00:00Z"}',
            'field at: TIMESTAMP as integer milliseconds since the epoch wanted, met text "2013-01-01T00:00:00Z"',
        ),
        (b'{"day": "2013-02-29"}', 'field day: DATE as text YYYY-MM-DD wanted, met text "2013-02-29"'),
        (b'{"yes": 1}', "field yes: BOOL wanted, met number 1"),
        (b'{"key": 7}', "field key: STRING wanted, met number 7"),
        (b'{"key": "\\ud800"}', "field key: the text has half a surrogate pair, which is no character"),
        (b'{"key": "\xff"}', "not UTF-8 at byte 9; wished one JSON object"),
        (b'{"delay": 01}', "not JSON: Expecting ',' delimiter: line 1 column 12 (char 11)"),
        (b'{"delay": 1,}', "not JSON: "),
        (b"[1]", "a JSON object wanted, met an array"),
        (b"", "an empty message; wished one JSON object"),
        (None, "an empty message; wished one JSON object"),
        (b"[" * 100_000, "nested too deeply; wished one flat JSON object"),
    ],
)
def test_the_reason_says_field_wish_and_what_was_met(text: bytes | None, reason: str) -> None:
    table, good, errors = decode(Bytes.of([b'{"key":"before"}', text, b'{"key":"after"}']), SCHEMA)
    assert good.tolist() == [0, 2] and table.column("key").to_pylist() == ["before", "after"]
    assert [place for place, _ in errors] == [1]
    assert errors[0][1].startswith(reason)


def test_required_and_unknown_fields() -> None:
    found = Bytes.of([b'{"at":1,"extra":{"a":[1]}}', b'{"at":null}', b"{}", b'{"more":1,"at":2,"odd":"x"}'])
    decoder = Decoder({"at": Type.TIMESTAMP}, required=["at"])
    assert decoder.decode(found).errors == [
        (1, "field at: TIMESTAMP wanted, met null"),
        (2, "field at: TIMESTAMP wanted, it is missing"),
    ]
    assert (decoder.unknown_fields, decoder.unknown_names) == (3, {"extra", "more", "odd"})
    strict = decode(found, {"at": Type.TIMESTAMP}, strict=True)
    assert strict.errors[0] == (0, "field extra is not in the schema, and the source is strict")
    assert strict.good.tolist() == [1, 2]
    with pytest.raises(ValueError, match="required fields without a column: other"):
        Decoder({"at": Type.TIMESTAMP}, required=["other"])


@numba.njit
def _written(found, out, ends):  # type: ignore[no-untyped-def]
    p = 0
    for i in range(len(found)):
        p = write_double(out, p, found[i])
        ends[i] = p


@given(st.lists(FLOATS, min_size=1, max_size=50))
def test_doubles_are_written_as_pythons_repr(found: list[float]) -> None:
    out, ends = np.empty(26 * len(found), np.uint8), np.empty(len(found), np.int64)
    _written(np.array(found), out, ends)
    starts = [0, *ends[:-1].tolist()]
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    assert [out[a:b].tobytes().decode() for a, b in zip(starts, ends.tolist(), strict=True)] == [
        words.get(repr(one), repr(one)) for one in found
    ]


@numba.njit
def _read(w, q):  # type: ignore[no-untyped-def]
    return to_double(w, q, False, False)


@given(st.integers(0, 10**19 - 1), st.one_of(st.integers(-30, 30), st.integers(-345, 310)))
def test_decimals_are_read_as_float_reads_them(w: int, q: int) -> None:
    assert bits(_read(np.uint64(w), q)[0]) == bits(float(f"{w}e{q}"))


@given(st.integers(2**53, 2**54 - 1), st.integers(-4, 23), st.integers(0, 10))
def test_ties_of_few_digits_go_to_the_even_one(seed: int, q: int, shift: int) -> None:
    """Halfway between two doubles, in at most nineteen digits: 54 bits, odd."""
    if q > 0:
        odd = seed // 5**q * 5**q
        w = (odd + (0 if odd % 2 else 5**q)) // 5**q << shift
    else:
        w = (seed | 1) * 10**-q << shift
    if w < 2**64:
        assert bits(_read(np.uint64(w), q)[0]) == bits(float(f"{w}e{q}"))


@given(st.integers(0, 2**63 - 1), st.integers(0, 25), st.sampled_from(["", "1", "0", "9"]))
def test_ties_and_long_mantissas(seed: int, zeros: int, tail: str) -> None:
    """The exact decimal between two doubles, and a digit more or less."""
    from decimal import Decimal, localcontext

    low = struct.unpack("<d", struct.pack("<Q", seed % 0x7FE0000000000000))[0]
    with localcontext() as context:
        context.prec = 800
        middle = (Decimal(low) + Decimal(math.nextafter(low, math.inf))) / 2
    text = f"{middle:e}".replace("e", "0" * zeros + tail + "e") if "." in f"{middle:e}" else f"{middle:e}"
    table = decode(Bytes.of([f'{{"delay":{text}}}'.encode()]), {"delay": Type.DOUBLE}).table
    assert bits(table.column(0)[0].as_py()) == bits(float(text))


COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "d": (pa.float64(), FLOATS),
    "f": (pa.float32(), st.floats(width=32)),
    "i": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "h": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "u": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "b": (pa.bool_(), st.booleans()),
    "s": (pa.string(), WORD),
    "l": (pa.large_string(), WORD),
    "c": (pa.dictionary(pa.int32(), pa.string()), WORD),
    "n": (pa.list_(pa.float64()), st.lists(st.floats(allow_nan=False), max_size=3)),
    "o": (
        pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))]),
        st.fixed_dictionaries({"x": st.integers(0, 9), "y": st.lists(WORD, max_size=2)}),
    ),
    'z"é': (pa.null(), st.none()),
}


@given(st.lists(st.fixed_dictionaries({name: st.one_of(st.none(), kind) for name, (_, kind) in COLUMNS.items()}), max_size=10), st.data())
def test_rows_are_written_as_python_reads_them(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    chosen = data.draw(st.permutations(list(COLUMNS)))[: data.draw(st.integers(0, len(COLUMNS)))]
    rows = [{name: row[name] for name in chosen} for row in rows]
    table = pa.table({name: pa.array([row[name] for row in rows], COLUMNS[name][0]) for name in chosen})
    if data.draw(st.booleans()) and rows and chosen:  # slices have offsets, chunks their own buffers
        table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    found = [json.loads(text or b"") for text in encode(table).to_list()]
    assert [list(row) for row in found] == [list(row) for row in rows] if chosen else True
    if chosen:
        assert [[bits(cell) for cell in row.values()] for row in found] == [[bits(cell) for cell in row.values()] for row in rows]


def test_times_dates_decimals_and_the_record_as_it_stands() -> None:
    from decimal import Decimal

    table = pa.table(
        {
            "us": pa.array([1_999, -1, None], pa.timestamp("us", "UTC")),
            "s": pa.array([1, 2, None], pa.timestamp("s")),
            "day": pa.array([datetime.date(2013, 1, 2), datetime.date(1969, 12, 31), None]),
            "dec": pa.array([Decimal("1.50"), Decimal("-2.25"), None], pa.decimal128(5, 2)),
            "in": pa.array([{"t": datetime.datetime(1970, 1, 1, 0, 0, 1)}, None, {"t": None}], pa.struct([("t", pa.timestamp("ms"))])),
        }
    )
    assert encode(table).to_list() == [
        b'{"us":1,"s":1000,"day":"2013-01-02","dec":1.50,"in":{"t":1000}}',
        b'{"us":-1,"s":2000,"day":"1969-12-31","dec":-2.25,"in":null}',
        b'{"us":null,"s":null,"day":null,"dec":null,"in":{"t":null}}',
    ]
    assert encode(pa.table({"x": [1, 2], "_value": ['{"a": 1}', None]})).to_list() == [b'{"a": 1}', None]
    with pytest.raises(TypeError, match="column raw is binary"):
        encode(pa.table({"raw": [b"x"]}))


@given(st.lists(st.tuples(WORD, FLOATS, st.integers(-(2**63), 2**63 - 1), st.booleans()), max_size=20))
def test_what_is_written_reads_back_bit_for_bit(rows: list[Any]) -> None:
    schema = {"s": Type.STRING, "d": Type.DOUBLE, "i": Type.BIGINT, "b": Type.BOOL}
    table = pa.table({name: pa.array([row[place] for row in rows], kind.arrow) for place, (name, kind) in enumerate(schema.items())})
    again = decode(encode(table), schema)
    assert again.errors == []
    assert [[bits(cell) for cell in row] for row in rows_of(again.table)] == [[bits(cell) for cell in row] for row in rows_of(table)]
