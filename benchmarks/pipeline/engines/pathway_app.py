"""Pathway, one thread, at least once, by `stateful_many`. `python pathway_app.py BOOTSTRAP TOPIC OUT`."""

from __future__ import annotations

import json
import sys

import pathway as pw

from benchmarks.pipeline.windows import CardWindows, row

bootstrap, topic, out = sys.argv[1:4]


class Payment(pw.Schema):
    i: int
    card: str
    paid_at: int
    amount: float


payments = pw.io.kafka.read(
    {"bootstrap.servers": bootstrap, "group.id": "bench-pathway-" + out, "auto.offset.reset": "earliest"},
    topic=topic,
    format="json",
    schema=Payment,
    autocommit_duration_ms=100,
)


@pw.reducers.stateful_many
def features(state: tuple[pw.PyObjectWrapper, str] | None, batch: list[tuple[list[object], int]]) -> tuple[pw.PyObjectWrapper, str]:
    windows = state[0].value if state else CardWindows()
    answered = [
        json.dumps(row({"i": i, "card": card, "paid_at": at}, windows.add(at, amount)))
        for i, at, amount, card in sorted(tuple(values) for values, n in batch)
    ]
    return pw.wrap_py_object(windows), "\n".join(answered)


by_card = payments.groupby(payments.card).reduce(
    payments.card, state=features(payments.i, payments.paid_at, payments.amount, payments.card)
)
texts = by_card.select(rows=pw.apply_with_type(lambda s: s[1], str, by_card.state))
pw.io.kafka.write(texts, {"bootstrap.servers": bootstrap, "linger.ms": "10"}, topic_name=out, format="plaintext", value=texts.rows)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
