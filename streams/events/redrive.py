"""Dead letters read back from their topic, and put back to their sources: each once, in one transaction with the note that says so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from connectors.kafka.columns import Bytes, Records
from streams.errors import EventError
from streams.events.dead_letters import REDRIVEN, DeadLetter, read
from streams.types import Position
from streams.worker.connection import Connection, Consumer, Part

NOTE = "redriven"  # field of a record of the dead-letters topic that is no dead letter, but says which one was put back


@dataclass(frozen=True)
class Letter:
    """A dead letter, and when it was put back to its source (wall clock, ms; None: not yet)."""

    letter: DeadLetter
    redriven_at: int | None = None


def letters(connection: Connection, topic: str) -> list[Letter]:
    """All dead letters in the order they were written."""
    found: dict[str, Letter] = {}
    consumer = connection.consumer()
    try:
        for records in records_of(consumer, topic):
            for row in range(len(records)):
                place = Position(topic, records.partition, int(records.offsets[row]))
                _take(records.values[row] or b"{}", place, found)
    finally:
        consumer.close()
    return list(found.values())


def _take(value: bytes, place: Position, found: dict[str, Letter]) -> None:
    note = json.loads(value)
    if NOTE in note:
        if note[NOTE] in found:
            found[note[NOTE]] = replace(found[note[NOTE]], redriven_at=note["at"])
    elif note:
        found[str(place)] = Letter(read(value, place))


def records_of(consumer: Consumer, topic: str) -> Iterator[Records]:
    """Everything a topic has as of now."""
    parts: list[Part] = [(topic, partition) for partition in consumer.partitions(topic)]
    consumer.assign(parts)
    ends = consumer.end_offsets(parts)
    while any(consumer.position(part) < end for part, end in ends.items()):
        yield from consumer.poll(200)


def chosen(
    all_letters: Iterable[Letter], places: Collection[str] = (), source: str | None = None, reason: str | None = None
) -> list[Letter]:
    """Those at `places` (of the letter or of the refused record), or of a source topic, or whose reason has this text.

    EventError for a place where there is none.
    """
    known = list(all_letters)
    if places:
        by_place = {str(one.letter.place): one for one in known} | {str(one.letter.source): one for one in known}
        for place in places:
            if place not in by_place:
                raise EventError(
                    f"{place}: there is no dead letter at this place or of this record. `driftline dead-letters list` shows them."
                )
        known = list({str(one.letter.place): one for one in map(by_place.__getitem__, places)}.values())
    return [
        one for one in known if (source is None or one.letter.source.topic == source) and (reason is None or reason in one.letter.reason)
    ]


def redrive(
    connection: Connection,
    topic: str,
    group: str,
    choose: Callable[[list[Letter]], list[Letter]] = lambda known: known,
    again: bool = False,
) -> list[Letter]:
    """Put the bytes of chosen letters back to the end of their source partitions, with a header that names the letter.

    One that was put back before is passed over unless `again`. `group` is the transactional id: two at the same time do not put back
    twice. Gives the letters that were put back. EventError where the bytes are no longer in the log.
    """
    producer = connection.producer(group)
    try:
        # read after the producer has fenced any other: what that one committed is seen
        going = [one for one in choose(letters(connection, topic)) if again or one.redriven_at is None]
        if not going:
            return []
        contents = _whole(connection, going)
        now = time.time_ns() // 1_000_000
        producer.begin()
        for letter in contents:
            kept = [header for header in letter.headers if header[0] != REDRIVEN]
            stamp = np.array([letter.timestamp if letter.timestamp >= 0 else now], np.int64)
            headers = [[*kept, (REDRIVEN, str(letter.place).encode())]]
            producer.send(letter.source.topic, letter.source.partition, stamp, Bytes.of([letter.key]), Bytes.of([letter.value]), headers)
        notes = [json.dumps({NOTE: str(one.letter.place), "at": now}).encode() for one in going]
        keys = [str(one.letter.source).encode() for one in going]
        producer.send(topic, 0, np.full(len(notes), now, np.int64), Bytes.of(keys), Bytes.of(notes))
        producer.commit()
        return going
    finally:
        producer.close()


def _whole(connection: Connection, going: list[Letter]) -> list[DeadLetter]:
    """Each with all its bytes; those too large for a dead letter are read from their source."""
    consumer = connection.consumer()
    try:
        return [_filled(consumer, one.letter) if one.letter.left_out else one.letter for one in going]
    finally:
        consumer.close()


def _filled(consumer: Consumer, letter: DeadLetter) -> DeadLetter:
    place = letter.source
    part = (place.topic, place.partition)
    if consumer.beginning_offsets([part])[part] > place.offset:
        raise EventError(f"{place}: the log no longer has it, and its dead letter could not hold its bytes.")
    consumer.assign([part], {part: place.offset})
    for _ in range(100):
        for records in consumer.poll(200, 1):
            if len(records) and records.offsets[0] == place.offset:
                return replace(letter, key=records.keys[0], value=records.values[0], headers=tuple(records.headers[0]))
    raise EventError(f"{place}: it cannot be read.")
