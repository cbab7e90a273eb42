"""Avro as columns against fastavro, on random schemas that evolve."""

from __future__ import annotations

import http.server
import io
import json
import struct
import threading
from collections.abc import Iterator
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import avro
from connectors.formats.avro import Decoder, ProjectSchemas, Registry, columns_of, schema_of_table
from connectors.kafka import Bytes
from streams.errors import BrokerError, ProjectError
from streams.types import Type

WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
LONG = st.integers(-(2**63), 2**63 - 1)
INT = st.integers(-(2**31), 2**31 - 1)
SINGLE = st.floats(width=32)
# how a field may be written: Avro type, its values, the columns it may become and the Avro type fastavro is to read it as
WRITTEN: list[tuple[Any, st.SearchStrategy[Any], dict[Type, Any]]] = [
    ("boolean", st.booleans(), {Type.BOOL: "boolean"}),
    ("int", INT, {Type.INT: "int", Type.BIGINT: "long", Type.DOUBLE: "double", Type.FLOAT: "float"}),
    ("long", LONG, {Type.BIGINT: "long", Type.DOUBLE: "double", Type.TIMESTAMP: "long"}),
    ("float", SINGLE, {Type.FLOAT: "float", Type.DOUBLE: "double"}),
    ("double", st.floats(), {Type.DOUBLE: "double"}),
    ("string", WORD, {Type.STRING: "string"}),
    ("bytes", WORD.map(str.encode), {Type.STRING: "string"}),
    ({"type": "enum", "name": "Kind", "symbols": ["A", "Bee", "Sea"]}, st.sampled_from(["A", "Bee", "Sea"]), {Type.STRING: None}),
    ({"type": "fixed", "name": "Four", "size": 4}, st.binary(min_size=4, max_size=4), {}),
    ({"type": "array", "items": "long"}, st.lists(LONG, max_size=3), {}),
    ({"type": "map", "values": "string"}, st.dictionaries(WORD, WORD, max_size=2), {}),
    (["null", "int", "string"], st.one_of(st.none(), INT, WORD), {}),
    ({"type": "long", "logicalType": "timestamp-millis"}, LONG, {Type.TIMESTAMP: "long"}),
    ({"type": "int", "logicalType": "date"}, st.integers(-10_000, 10_000), {Type.DATE: "int"}),
]
DEFAULTS: dict[Type, Any] = {Type.INT: 7, Type.BIGINT: -8, Type.DOUBLE: 1.5, Type.STRING: "none", Type.BOOL: True}
AVRO = {Type.INT: "int", Type.BIGINT: "long", Type.DOUBLE: "double", Type.STRING: "string", Type.BOOL: "boolean"}


def framed(schema: Any, record: Any, number: int = 1) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return struct.pack(">bI", 0, number) + out.getvalue()


def bare(schema: Any) -> Any:
    return avro._bare(schema)


@st.composite
def evolutions(draw: st.DrawFn) -> tuple[Any, Any, dict[str, Type], list[Any]]:
    """A writer's schema, the reader's, the columns, and records as they were written."""
    written: list[Any] = []
    reading: list[Any] = []
    columns: dict[str, Type] = {}
    records: list[dict[str, Any]] = [{} for _ in range(draw(st.integers(0, 5)))]
    seen: set[int] = set()
    for place in range(draw(st.integers(1, 6))):
        name = f"f{place}"
        turn = draw(st.integers(0, 9))
        if turn == 0:  # a field the writer did not have
            kind = draw(st.sampled_from(sorted(DEFAULTS)))
            columns[name] = kind
            nothing = draw(st.booleans())
            reading.append(
                {"name": name, "type": ["null", AVRO[kind]] if nothing else AVRO[kind], "default": None if nothing else DEFAULTS[kind]}
            )
            continue
        which = draw(st.integers(0, len(WRITTEN) - 1).filter(lambda one: one not in seen or isinstance(WRITTEN[one][0], str)))
        seen.add(which)
        type_, cells, may = WRITTEN[which]
        nullable = draw(st.booleans()) and not isinstance(type_, list)
        first = draw(st.booleans())
        as_written = ([["null", type_], [type_, "null"]][first]) if nullable else type_
        renamed = turn == 1 and may
        written.append({"name": f"old_{name}" if renamed else name, "type": as_written})
        for record in records:
            record[written[-1]["name"]] = draw(st.one_of(st.none(), cells)) if nullable else draw(cells)
        if may and turn != 2:  # 2: a field the reader no longer has
            kind = draw(st.sampled_from(sorted(may)))
            columns[name] = kind
            as_read = may[kind] or type_
            reading.append({"name": name, "type": ["null", as_read], "default": None, **({"aliases": [f"old_{name}"]} if renamed else {})})
    writer = {"type": "record", "name": "Event", "fields": draw(st.permutations(written))}
    return writer, {"type": "record", "name": "Event", "fields": reading}, columns, records


def plain(table: pa.Table) -> list[list[Any]]:
    """Rows with times and dates as numbers, so that none is out of Python's range."""
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        elif pa.types.is_date(column.type):
            column = column.cast(pa.int32())
        columns.append([struct.pack("<d", cell) if isinstance(cell, float) and cell == cell else str(cell) for cell in column.to_pylist()])
    return [list(row) for row in zip(*columns, strict=True)]


@given(evolutions())
def test_records_are_resolved_as_fastavro_does(case: Any) -> None:
    writer, reader, columns, records = case
    values = [framed(writer, record) for record in records]
    wished = []
    for value in values:
        found: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), bare(writer), bare(reader))
        row = []
        for name, kind in columns.items():
            cell = found[name].decode() if isinstance(found[name], bytes) else found[name]
            if kind in (Type.DOUBLE, Type.FLOAT) and cell is not None:
                cell = float(cell)
                if kind is Type.FLOAT:
                    cell = pa.scalar(cell, pa.float32()).as_py()
            row.append(struct.pack("<d", cell) if isinstance(cell, float) and cell == cell else str(cell))
        wished.append(row)
    read = Decoder(columns, ProjectSchemas({1: writer}), reader).decode(Bytes.of(values))
    assert read.errors == []
    assert plain(read.table) == wished if columns else True
    assert read.table.schema.types == [kind.arrow for kind in columns.values()]
    read.table.validate(full=True)


EVENT: Any = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "key", "type": "string"},
        {"name": "n", "type": ["null", "int"]},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "again", "type": "Kind"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}
COLUMNS = {"key": Type.STRING, "n": Type.INT, "kind": Type.STRING, "again": Type.STRING, "at": Type.TIMESTAMP}


def good(**more: Any) -> bytes:
    return framed(bare(EVENT), {"key": "k", "n": 3, "kind": "B", "again": "A", "at": -1, **more})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "an empty message; wished one Avro record"),
        (b"", "an empty message; wished one Avro record"),
        (b"{}", "too short for Avro with Confluent's header of five bytes"),
        (b'{"key": 1}', "the first byte is 123, wished 0 and a schema id (Confluent's header)"),
        (b"\0\0\0\0\x09abc", "schema id 9 is not known to the project's schemas"),
        (good()[:-1], "field at: the record breaks off (written with schema 1)"),
        (good() + b"!", "bytes are left over after the last field (written with schema 1)"),
        (good()[:5] + b"\x02\xff" + good()[7:], "field key: the text is not UTF-8 (written with schema 1)"),
        (good()[:7] + b"\x06" + good()[8:], "field n: there is no such branch in its union (written with schema 1)"),
        (good()[:9] + b"\x08" + good()[10:], "field kind: there is no such symbol in its enum (written with schema 1)"),
        (good()[:5] + b"\xff" * 12, "field key: the record breaks off (written with schema 1)"),
    ],
)
def test_the_reason_says_what_was_met(value: bytes | None, reason: str) -> None:
    read = avro.decode(Bytes.of([good(), value, good(key="after")]), COLUMNS, ProjectSchemas({1: EVENT}))
    assert read.errors == [(1, reason)]
    assert read.table.column("key").to_pylist() == ["k", "after"]
    assert read.table.column("at").cast(pa.int64()).to_pylist() == [-1, -1]  # microseconds go down to the millisecond before
    assert read.table.column("again").to_pylist() == ["A", "A"]


def test_what_a_schema_cannot_give_is_refused_with_both_types() -> None:
    schemas = ProjectSchemas({1: EVENT})
    for columns, reason in [
        ({"n": Type.BOOL}, "field n: BOOL wanted, the writer's schema 1 has int"),
        ({"at": Type.DATE}, "field at: DATE wanted, the writer's schema 1 has long (timestamp-micros)"),
    ]:
        assert avro.decode(Bytes.of([good()]), columns, schemas).errors == [(0, reason)]
    assert avro.decode(Bytes.of([good(n=None)]), COLUMNS, schemas, required=["n"]).errors == [
        (0, "field n: INT wanted, met null or nothing")
    ]
    assert avro.decode(Bytes.of([good(n=70_000)]), {"n": Type.SMALLINT}, schemas).errors[0][1].startswith("field n: the value does not fit")
    reader = {"type": "record", "name": "Event", "fields": [{"name": "more", "type": "int"}]}
    read = avro.decode(Bytes.of([good()]), {"more": Type.INT}, schemas, reader=reader)
    assert read.errors == [(0, "field more: the writer's schema 1 does not have it, and the project's gives no default")]
    assert columns_of(EVENT) == COLUMNS
    with pytest.raises(ProjectError, match="field x of the Avro schema is array"):
        columns_of({"type": "record", "name": "E", "fields": [{"name": "x", "type": {"type": "array", "items": "int"}}]})


def test_a_name_stands_for_its_type_wherever_it_was_first_told() -> None:
    way = {"type": "enum", "name": "Way", "symbols": ["CASH", "CARD"]}
    writer = {
        "type": "record",
        "name": "Payment",
        "namespace": "shop.events",
        "fields": [
            {"name": "part", "type": {"type": "record", "name": "Part", "fields": [{"name": "way", "type": way}]}},
            {"name": "way", "type": "Way"},
            {"name": "back", "type": ["null", "shop.events.Way"], "default": "a default that does not fit"},
        ],
    }
    value = framed(fastavro.parse_schema(writer, _ignore_default_error=True), {"part": {"way": "CASH"}, "way": "CARD", "back": "CASH"})
    read = avro.decode(Bytes.of([value]), {"way": Type.STRING, "back": Type.STRING}, ProjectSchemas({1: writer}))
    assert (read.table.to_pylist(), read.errors) == ([{"way": "CARD", "back": "CASH"}], [])
    strange = {"type": "record", "name": "Payment", "fields": [{"name": "way", "type": "Way"}]}
    read = avro.decode(Bytes.of([value]), {"way": Type.STRING}, ProjectSchemas({1: strange}))
    assert read.errors == [(0, "this is no Avro schema: UnknownType: Way")]


def test_a_decimal_is_no_text() -> None:
    money = {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}
    for kind, null in ((money, ""), (["null", money], b"\x02")):
        writer = {"type": "record", "name": "Payment", "fields": [{"name": "amount", "type": kind}]}
        value = b"\0\0\0\0\1" + (null or b"") + b"\x04A9"  # 166.97
        read = avro.decode(Bytes.of([value]), {"amount": Type.STRING}, ProjectSchemas({1: writer}))
        assert read.errors == [(0, "field amount: STRING wanted, the writer's schema 1 has bytes (decimal)")]


def test_a_record_as_deep_as_it_is_long_does_not_end_the_process() -> None:
    fields = [{"name": "n", "type": "int"}, {"name": "next", "type": ["null", "Node"]}]
    writer = {"type": "record", "name": "Node", "fields": fields}

    def nodes(depth: int) -> bytes:
        return b"\0\0\0\0\1" + b"\x06\x02" * depth + b"\x06\0"

    read = avro.decode(Bytes.of([nodes(1), nodes(100_000), nodes(0)]), {"n": Type.INT}, ProjectSchemas({1: writer}))
    assert (read.table.to_pylist(), read.errors) == ([{"n": 3}, {"n": 3}], [(1, "nested too deeply (written with schema 1)")])


@given(st.data())
def test_no_damage_is_worse_than_a_reason(data: st.DataObject) -> None:
    value = bytearray(good())
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(5, len(value) - 1))] = data.draw(st.integers(0, 255))
    value = value[: data.draw(st.integers(5, len(value)))]
    read = avro.decode(Bytes.of([bytes(value)]), COLUMNS, ProjectSchemas({1: EVENT}))
    read.table.validate(full=True)
    try:
        out = io.BytesIO(bytes(value[5:]))
        found: Any = fastavro.schemaless_reader(out, bare(EVENT), None)
        right = not out.read(1) and -(2**31) <= (found["n"] or 0) < 2**31 and -(2**63) <= found["at"] < 2**63
    except Exception:  # whatever fastavro says of damaged bytes
        right = False
    assert len(read.errors) == (0 if right else 1) or not read.errors  # fastavro refuses some overlong varints


TABLE: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "d": (pa.float64(), st.floats(allow_nan=False)),
    "f": (pa.float32(), st.floats(width=32, allow_nan=False)),
    "i": (pa.int64(), LONG),
    "h": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "b": (pa.bool_(), st.booleans()),
    "s": (pa.string(), WORD),
    "c": (pa.dictionary(pa.int32(), pa.string()), WORD),
    "t": (pa.timestamp("ms"), st.integers(-(2**40), 2**40)),
    "y": (pa.date32(), st.integers(-10_000, 10_000)),
}


@given(st.lists(st.fixed_dictionaries({name: st.one_of(st.none(), kind) for name, (_, kind) in TABLE.items()}), max_size=8))
def test_rows_are_written_as_fastavro_reads_them(rows: list[dict[str, Any]]) -> None:
    arrays = {}
    for name, (kind, _) in TABLE.items():
        cells = [row[name] for row in rows]
        stored = pa.int64() if name == "t" else pa.int32() if name == "y" else kind
        arrays[name] = pa.array(cells, stored).cast(kind) if stored != kind else pa.array(cells, kind)
    table = pa.table(arrays)
    schema = schema_of_table(table.schema)
    values = avro.encode(table, 258)
    found = [fastavro.schemaless_reader(io.BytesIO((value or b"")[5:]), bare(schema), None) for value in values.to_list()]
    assert found == rows
    assert all(value[:5] == b"\0\0\0\1\2" for value in values.to_list() if value)
    again = avro.decode(values, columns_of(schema), ProjectSchemas({258: schema}))
    assert again.errors == []
    assert plain(again.table) == plain(table)


class FakeRegistry(http.server.BaseHTTPRequestHandler):
    """The part of a schema registry's interface that is used, with its state in the server."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        known = self.server.known  # type: ignore[attr-defined]
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        number = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/subjects/"):
            self.answer(200, {"id": len(known), "schema": known[-1]})
        elif number == "77":
            self.answer(200, {"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"})
        elif number == "78":
            self.answer(200, {"schema": '"Other"', "references": [{"name": "Other", "subject": "other", "version": 1}]})
        elif number == "500":
            self.answer(500, {"error_code": 50001, "message": "out of order"})
        elif number.isdigit() and 0 < int(number) <= len(known):
            self.answer(200, {"schema": known[int(number) - 1]})
        else:
            self.answer(404, {"error_code": 40403, "message": "Schema not found"})

    def do_POST(self) -> None:
        known = self.server.known  # type: ignore[attr-defined]
        schema = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["schema"]
        if schema not in known:
            known.append(schema)
        self.answer(200, {"id": known.index(schema) + 1})

    def answer(self, code: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def server() -> Iterator[Any]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeRegistry)
    server.known, server.asked = [], []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_schemas_come_from_a_registry_once(server: Any) -> None:
    registry = Registry(f"http://127.0.0.1:{server.server_port}/")
    assert registry.register("events-value", EVENT) == registry.register("events-value", EVENT) == 1
    assert registry.latest("events-value") == (1, EVENT)
    decoder = Decoder(COLUMNS, registry)
    for _ in range(3):
        assert decoder.decode(Bytes.of([good(), good()])).errors == []
    assert server.asked.count("/schemas/ids/1") == 1
    unknown = framed(bare(EVENT), {"key": "k", "n": 3, "kind": "B", "again": "A", "at": 1}, 7)
    assert decoder.decode(Bytes.of([unknown])).errors == [(0, f"schema id 7 is not known to the schema registry at {registry.url}")]
    for number, reason in ((77, "is PROTOBUF, wished AVRO"), (78, "refers to other schemas, which is not read; register it whole")):
        read = decoder.decode(Bytes.of([good(), b"\0" + struct.pack(">I", number) + b"x"]))
        assert read.errors == [(1, f"schema {number} at {registry.url} {reason}")], "it is this record's fault alone"
    with pytest.raises(BrokerError, match="refuses GET /schemas/ids/500: 500"):
        decoder.decode(Bytes.of([b"\0" + struct.pack(">I", 500) + b"x"]))


def test_a_registry_that_does_not_answer_is_no_fault_of_the_record() -> None:
    registry = Registry("http://127.0.0.1:1", timeout_s=1)
    with pytest.raises(BrokerError, match="the schema registry at http://127.0.0.1:1 does not answer"):
        avro.decode(Bytes.of([good()]), COLUMNS, registry)
