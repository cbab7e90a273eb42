"""Quix Streams by its State API, exactly once, durable state. `python quix_app.py BOOTSTRAP TOPIC OUT STATE_DIR COMMIT_SECONDS GUARANTEE`."""

from __future__ import annotations

import sys

from quixstreams import Application, State

from benchmarks.pipeline.windows import CardWindows, row

bootstrap, topic, out, folder, every, guarantee = sys.argv[1:7]
app = Application(
    broker_address=bootstrap, consumer_group="bench-quix-" + out, auto_offset_reset="earliest", state_dir=folder,
    processing_guarantee=guarantee, commit_interval=float(every), auto_create_topics=True, loglevel="WARNING",
    consumer_extra_config={"fetch.queue.backoff.ms": 10}, producer_extra_config={"linger.ms": 10, "compression.type": "lz4"},
)  # fmt: skip
payments = app.topic(topic, value_deserializer="json", key_deserializer="str")
rows = app.topic(out, value_serializer="json", key_serializer="str")


CardWindows.KEPT = 0  # the state is written with every event: the smaller the better


def features(payment: dict[str, object], state: State) -> dict[str, object]:
    kept = state.get("rows", default=[])
    windows = CardWindows()
    windows.times, windows.amounts = [int(r[0]) for r in kept], [r[1] for r in kept]
    windows.left, windows.sums = state.get("left", default=[0, 0, 0]), state.get("sums", default=[0.0, 0.0, 0.0])
    values = windows.add(payment["paid_at"], payment["amount"])
    state.set("rows", list(zip(windows.times, windows.amounts, strict=True)))
    state.set("left", windows.left)
    state.set("sums", windows.sums)
    return row(payment, values)


app.dataframe(payments).apply(features, stateful=True).to_topic(rows)
app.run()
