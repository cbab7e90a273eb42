"""Files into the log of a real Kafka: every format, merged by event time, exactly once over kills, bad rows named."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from kafka import KafkaConsumer, TopicPartition

from streams.cli import main
from streams.errors import DriftlineError, ProjectError
from streams.produce.chunk import Bad
from streams.produce.replays import Replay, unfinished
from streams.produce.send import Sent, send
from streams.project import Project, load_project

pytestmark = pytest.mark.broker
_number = itertools.count()

TOML = """
name = "{name}"
bootstrap_servers = "{bootstrap}"
[sources.orders]
key = "id"
time = "at"
partitions = {partitions}
[sources.orders.fields]
id = "STRING"
at = "TIMESTAMP"
amount = "DOUBLE"
[sources.payments]
time = "at"
[sources.payments.fields]
at = "TIMESTAMP"
ok = "BOOL"
"""


def project_of(folder: Path, bootstrap: str, partitions: int = 1) -> Project:
    name = f"produce-{next(_number)}"
    (folder / "driftline.toml").write_text(TOML.format(name=name, bootstrap=bootstrap, partitions=partitions))
    return load_project(folder)


def records(project: Project, source: str, partitions: int = 1) -> list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    """What a read_committed reader sees: timestamp, key, value, headers, partition after partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=project.bootstrap(),
        isolation_level="read_committed",
        consumer_timeout_ms=10_000,
        max_partition_fetch_bytes=9 << 20,
    )
    found = []
    for number in range(partitions):
        part = TopicPartition(project.topic(source), number)
        consumer.assign([part])
        end = consumer.end_offsets([part])[part]
        consumer.seek_to_beginning(part)
        while consumer.position(part) < end:
            for batch in consumer.poll(500).values():
                found += [(record.timestamp, record.key, record.value, list(record.headers)) for record in batch]
    consumer.close()
    return found


def rows(project: Project, source: str, partitions: int = 1) -> list[bytes | None]:
    return [value for _, _, value, headers in records(project, source, partitions) if not headers]


def jsonl(path: Path, values: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return str(path)


def orders(count: int, step: int = 1000) -> list[dict[str, object]]:
    return [{"id": f"o{i}", "at": 1_700_000_000_000 + i * step, "amount": i / 3} for i in range(count)]


def test_lines_go_as_they_stand_with_key_and_event_time(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    file = tmp_path / "orders.jsonl"
    file.write_text('{"id": "a", "at": 5, "amount": 1.50}\r\n\n{"id":"b","at":4}')
    sent = send(project, Replay({"orders": (str(file),)}))
    assert (sent.rows, sent.bad, sent.complete) == ({"orders": 2}, 0, True)
    assert records(project, "orders") == [(5, b"a", b'{"id": "a", "at": 5, "amount": 1.50}', []), (4, b"b", b'{"id":"b","at":4}', [])]


def test_csv_and_parquet_become_json(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    (tmp_path / "o.csv").write_text("id,amount,at,more\na,1.5,1700000000000,x\nb,,2023-11-14 22:13:21,y\n")
    pyarrow.parquet.write_table(
        pa.table({"id": ["c"], "amount": pa.array([2], pa.int32()), "at": pa.array([1_700_000_002_000_000], pa.timestamp("us", "UTC"))}),
        tmp_path / "p.parquet",
    )
    sent = send(project, Replay({"orders": (str(tmp_path / "o.csv"), str(tmp_path / "p.parquet"))}))
    assert sent.rows == {"orders": 3}
    found = [json.loads(value) for value in rows(project, "orders") if value]
    assert [row["id"] for row in found] == ["a", "b", "c"]
    assert [row.get("amount") for row in found] == [1.5, None, 2.0]
    assert [stamp for stamp, *_ in records(project, "orders")] == [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000]


def test_bad_rows_are_named_and_sent_as_they_stand(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    file = tmp_path / "orders.jsonl"
    lines = [
        '{"id": "a", "at": 5}',
        "{broken",
        '{"id": "b", "at": "yesterday"}',
        '{"id": "c"}',
        '{"id": "d", "at": 99999999999999}',
        '{"id": "e", "at": 6, "amount": "x"}',
        '{"id": "f", "at": 7}',
    ]
    file.write_text("\n".join(lines))
    met: list[Bad] = []
    sent = send(project, Replay({"orders": (str(file),)}), on_bad=met.append)
    assert [bad.place for bad in met] == [f"{file}:{line}" for line in (2, 3, 4, 5, 6)]
    assert "at" in met[1].reason and "ahead" in met[3].reason and "amount" in met[4].reason
    assert [value.decode() for value in rows(project, "orders") if value] == lines
    assert sent.bad == 5
    with pytest.raises(DriftlineError, match=r"orders.jsonl:2: .*Nothing from this row on was sent"):
        send(project, Replay({"orders": (str(file),)}, on_bad="stop"), again=True)
    assert send(project, Replay({"orders": (str(file),)}, on_bad="skip"), again=True).rows == {"orders": 2}


def test_bad_cells_of_a_csv_are_named(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    file = tmp_path / "o.csv"
    file.write_text("id,amount,at\na,cheap,1700000000000\nb,2,1700000000001\n")
    met: list[Bad] = []
    send(project, Replay({"orders": (str(file),)}), on_bad=met.append)
    assert [str(bad) for bad in met] == [f"{file}:2: amount: DOUBLE was wished, 'cheap' was met"]
    assert [json.loads(value)["amount"] for value in rows(project, "orders") if value] == ["cheap", 2.0]


def test_a_row_no_topic_takes_is_named_and_left_out(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    big = {"id": "x" * 9_000_000, "at": 2}
    met: list[Bad] = []
    sent = send(
        project,
        Replay({"orders": (jsonl(tmp_path / "o.jsonl", [{"id": "a", "at": 1}, big, {"id": "b", "at": 3, "note": "x" * 5_000_000}]),)}),
        on_bad=met.append,
    )
    assert sent.rows == {"orders": 2} and sent.bad == 1
    assert met[0].place.endswith("o.jsonl:2") and "18,000,0" in met[0].reason


def test_several_files_go_by_event_time_and_every_source_is_told_how_far_it_is(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker, partitions=3)
    payments = [{"at": 1_700_000_000_000 + i * 50_000, "ok": True} for i in range(40)]
    replay = Replay(
        {"orders": (jsonl(tmp_path / "o.jsonl", orders(2000)),), "payments": (jsonl(tmp_path / "p.jsonl", payments),)}, rate=1500
    )
    sent = send(project, replay)
    assert sent.rows == {"orders": 2000, "payments": 40}
    assert sorted(json.loads(value)["id"] for value in rows(project, "orders", 3) if value) == sorted(f"o{i}" for i in range(2000))
    for source, partitions in (("orders", 3), ("payments", 1)):
        newest = -1
        marks = 0
        for _, _, value, headers in records(project, source, partitions):
            if headers:
                assert value is None
                marks += 1
                newest = max(newest, int(headers[0][1]))
        assert marks >= partitions
        assert newest == 1_700_000_000_000 + 1_999_001, "every source is told that the time that was sent is over"
    after = records(project, "payments")
    for place, (_, _, _, headers) in enumerate(after):
        if headers:
            assert all(stamp >= int(headers[0][1]) for stamp, _, _, later in after[place:] if not later)


def test_a_replay_that_was_stopped_goes_on_where_it_was(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    replay = Replay(
        {
            "orders": (
                jsonl(tmp_path / "a.jsonl", orders(500)),
                jsonl(tmp_path / "b.jsonl", [{"id": f"p{i}", "at": 1_700_000_600_000 + i} for i in range(500)]),
            )
        },
        rate=1000,
    )
    polls = itertools.count()
    first = send(project, replay, stopped=lambda: next(polls) > 3)
    assert not first.complete and 0 < first.rows["orders"] < 1000
    assert [one.id for one in unfinished(project)] == [] and (project.state_dir / "replays").exists(), "its process lives"
    second = send(project, replay)
    assert second.before == first.rows["orders"] and second.complete
    assert [json.loads(value)["id"] for value in rows(project, "orders") if value] == [f"o{i}" for i in range(500)] + [
        f"p{i}" for i in range(500)
    ]
    third = send(project, replay)
    assert third.rows == {"orders": 0} and third.before == 1000
    with open(tmp_path / "b.jsonl", "a") as file:
        file.write('{"id": "new", "at": 1700000700000}\n')
    assert send(project, replay).rows == {"orders": 1}, "what was appended"
    (tmp_path / "b.jsonl").write_text('{"id": "other", "at": 1}\n' * 2000)
    with pytest.raises(DriftlineError, match="is not the file it was"):
        send(project, replay)


@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
def test_row_positions_resume_too(broker: str, tmp_path: Path, name: str) -> None:
    project = project_of(tmp_path, broker)
    table = pa.table({"id": [f"o{i}" for i in range(900)], "at": pa.array(range(900), pa.timestamp("ms"))})
    if name.endswith("csv"):
        (tmp_path / name).write_text("id,at\n" + "".join(f"o{i},{i}\n" for i in range(900)))
    else:
        pyarrow.parquet.write_table(table, tmp_path / name)
    replay = Replay({"orders": (str(tmp_path / name),)}, rate=1000)
    polls = itertools.count()
    send(project, replay, stopped=lambda: next(polls) > 2)
    send(project, replay)
    assert [json.loads(value)["id"] for value in rows(project, "orders") if value] == [f"o{i}" for i in range(900)]


def test_a_killed_replay_loses_and_doubles_nothing(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    file = jsonl(tmp_path / "orders.jsonl", orders(3000))
    command = [sys.executable, "-m", "streams.cli", "produce", "orders", file, "--rate", "2000", "--json", "--project", str(tmp_path)]
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.wait(2.2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["complete"] is True
    assert [json.loads(value)["id"] for value in rows(project, "orders") if value] == [f"o{i}" for i in range(3000)]
    assert unfinished(project) == []


def test_standard_input(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    command = [sys.executable, "-m", "streams.cli", "produce", "orders", "-", "--json", "--project", str(tmp_path)]
    done = subprocess.run(command, input='{"id": "a", "at": 5}\n{"id": "b", "at": 6}', capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rows"] == 2
    assert len(rows(project, "orders")) == 2


def test_refusals(broker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = project_of(tmp_path, broker)

    def refuse(*arguments: str) -> str:
        with pytest.raises(SystemExit, match="1"):
            main(["produce", *arguments, "--project", str(tmp_path)])
        return capsys.readouterr().err

    assert "has no source 'oders'. Did you mean 'orders'?" in refuse("oders", "x.jsonl")
    assert "x.jsonl: there is no such file" in refuse("orders", "x.jsonl")
    (tmp_path / "x.txt").write_text("")
    assert ".txt is not known" in refuse("orders", str(tmp_path / "x.txt"))
    (tmp_path / "x.csv").write_text("id,when\n1,2\n")
    assert "there is no column 'at', the event time of orders" in refuse("orders", str(tmp_path / "x.csv"))
    (tmp_path / "x.parquet").write_text("no")
    assert "this is no Parquet file" in refuse("orders", str(tmp_path / "x.parquet"))
    assert "exclude each other" in refuse("orders", "-", "--rate", "1", "--speed", "1")
    assert "'sned' is not known. Did you mean 'send'?" in refuse("orders", "-", "--on-bad", "sned")
    assert "Standard input (-) can be sent alone only" in refuse("orders=-", f"payments={tmp_path / 'x.csv'}")
    whole = gzip.compress(b'{"id":"o","at":1700000000000,"amount":1.0}\n' * 5000)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "cut.jsonl.gz cannot be unpacked to its end" in refuse("orders", str(tmp_path / "cut.jsonl.gz"))
    (tmp_path / "no.jsonl.gz").write_text("no")
    assert "no.jsonl.gz cannot be unpacked to its end" in refuse("orders", str(tmp_path / "no.jsonl.gz"))
    assert "--speed nan is no pace" in refuse("orders", "-", "--speed", "nan")
    assert "--rate inf is no pace" in refuse("orders", "-", "--rate", "inf")
    left = list((load_project(tmp_path).state_dir / "replays").glob("*.json"))
    assert left == [], "what was refused would be sent by the next `driftline up`"
    with pytest.raises(ProjectError, match="has no source"):
        send(project, Replay({"nothing": ("-",)}))


def speed_of(sent: Sent) -> float:
    return sum(sent.rows.values()) / sent.seconds


def test_pace(broker: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, broker)
    file = jsonl(tmp_path / "orders.jsonl", orders(1000))
    assert 600 < speed_of(send(project, Replay({"orders": (file,)}, rate=1000))) < 1100
    played = send(project, Replay({"orders": (file,)}, speed=500), again=True)
    assert 1.8 < played.seconds < 4, "999 seconds of event time at 500 a second"


def test_rows_for_an_avro_source_are_written_by_its_schema(broker: str, tmp_path: Path) -> None:
    import fastavro

    schema = {
        "type": "record",
        "name": "order",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "amount", "type": ["null", "double"]},
            {"name": "paid", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": None},
        ],
    }
    (tmp_path / "order.avsc").write_text(json.dumps(schema))
    name = f"produce-{next(_number)}"
    (tmp_path / "driftline.toml").write_text(
        f'name = "{name}"\nbootstrap_servers = "{broker}"\n[sources.orders]\nkey = "id"\ntime = "at"\nschema = "order.avsc"\n'
    )
    project = load_project(tmp_path)
    file = jsonl(
        tmp_path / "o.jsonl", [{"id": "a", "at": 5, "amount": 1.5}, {"id": None, "at": 6}, {"id": "c", "at": 7, "paid": 1_700_000_000_123}]
    )
    met: list[Bad] = []
    sent = send(project, Replay({"orders": (file,)}), on_bad=met.append)
    assert (sent.rows, sent.bad) == ({"orders": 3}, 1)
    assert "does not fit order.avsc" in met[0].reason
    values = rows(project, "orders")
    assert values[1] == b'{"id": null, "at": 6}', "as it stands, for the dead letters"
    for value, wished in ((values[0], ("a", 5, 1.5, None)), (values[2], ("c", 7, None, 1_700_000_000_123))):
        assert value is not None
        assert value[:5] == b"\0\0\0\0\1"
        read = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        paid = read["paid"] and round(read["paid"].timestamp() * 1000)
        assert (read["id"], round(read["at"].timestamp() * 1000), read["amount"], paid) == wished
