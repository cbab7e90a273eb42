"""The broker's server.properties: one node that is broker and controller, small memory, nothing thrown away."""

from __future__ import annotations

from pathlib import Path

MESSAGE_BYTES = 8 * 1024 * 1024
_TEN_YEARS_MS = 315_360_000_000


def server_properties(port: int, controller_port: int, data: Path) -> str:
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        "message.max.bytes": MESSAGE_BYTES,
        "replica.fetch.max.bytes": MESSAGE_BYTES,
        "auto.create.topics.enable": "false",
        "num.partitions": 1,
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        # What a transaction's first records wait where the one before is just being ended, before they look again: 20 by default.
        "add.partitions.to.txn.retry.backoff.ms": 1,
        # Record times are event times: years old in a replay, or ahead of the clock. Neither may delete, roll or refuse anything.
        "log.retention.ms": -1,
        "log.roll.ms": _TEN_YEARS_MS,
        "log.message.timestamp.after.max.ms": 2**63 - 1,
        # A project that rested for months finds its place again.
        "offsets.retention.minutes": 5_256_000,
        "transactional.id.expiration.ms": 2**31 - 1,
        "log.segment.bytes": 256 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.segment.delete.delay.ms": 1000,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
