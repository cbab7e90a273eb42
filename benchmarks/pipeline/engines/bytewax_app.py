"""Bytewax, one worker, at least once. `python -m bytewax.run` finds `flow`; settings come from the environment."""

from __future__ import annotations

import json
import os

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow

from benchmarks.pipeline.windows import CardWindows, row

bootstrap, topic, out = os.environ["BENCH_BOOTSTRAP"], os.environ["BENCH_TOPIC"], os.environ["BENCH_OUT"]


def features(windows: CardWindows | None, payment: dict[str, object]) -> tuple[CardWindows, dict[str, object]]:
    windows = windows or CardWindows()
    return windows, row(payment, windows.add(payment["paid_at"], payment["amount"]))


flow = Dataflow("bench")
source = kop.input("in", flow, brokers=[bootstrap], topics=[topic], batch_size=5000)
payments = op.map("json", source.oks, lambda m: (m.key.decode(), json.loads(m.value)))
rows = op.stateful_map("windows", payments, features)
messages = op.map("text", rows, lambda kv: KafkaSinkMessage(kv[0].encode(), json.dumps(kv[1]).encode()))
kop.output("out", messages, brokers=[bootstrap], topic=out, add_config={"linger.ms": "10", "compression.type": "lz4"})
