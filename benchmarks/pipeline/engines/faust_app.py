"""A plain Faust app: one agent, deques in memory. `python faust_app.py BOOTSTRAP TOPIC OUT worker`."""

from __future__ import annotations

import sys
import tempfile

import faust

from benchmarks.pipeline.windows import CardWindows, row

bootstrap, topic, out = sys.argv[1:4]
app = faust.App(
    "bench-faust-" + out,
    broker=f"kafka://{bootstrap}",
    web_enabled=False,
    topic_disable_leader=True,
    stream_wait_empty=False,
    producer_linger=0.01,
)
payments = app.topic(topic, value_serializer="json", key_serializer="raw", acks=True)
rows = app.topic(out, value_serializer="json", key_serializer="raw", partitions=4)
cards: dict[str, CardWindows] = {}


@app.agent(payments)
async def features(stream: faust.Stream) -> None:
    async for event in stream.events():
        payment = event.value
        windows = cards.setdefault(payment["card"], CardWindows())
        await rows.send(key=payment["card"].encode(), value=row(payment, windows.add(payment["paid_at"], payment["amount"])))


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "--datadir", tempfile.mkdtemp(prefix="driftline-bench-faust-"), "worker", "--loglevel=warn", "--without-web"]
    app.main()
