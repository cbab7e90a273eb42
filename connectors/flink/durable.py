"""A Python object per key inside Flink, on whole batches, kept by Flink's keyed state.

The object lives in the worker's memory. What Flink keeps is a snapshot of it and, of a large one, the messages since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pyflink.common import Row, Types
from pyflink.datastream import DataStream, KeyedProcessFunction, KeyedStream, OutputTag, RuntimeContext
from pyflink.datastream.state import ListState, ListStateDescriptor, MapState, MapStateDescriptor, ValueState, ValueStateDescriptor

from connectors.flink.orphan import end_with_java

Sent = Iterator[tuple[str, int, Any]]
LOG_BYTES = 4 << 20  # a log of fewer bytes is kept, however small the snapshot is
TICK_MS = 100
TURN_MS = 400  # few large turns: what is written can be seen with the next checkpoint only
FLUSH_MS = 500
KEYED = Types.ROW([Types.INT(), Types.PICKLED_BYTE_ARRAY()])  # what goes to a key


class Core(Protocol):
    """`receive` answers (stage, key, message), where messages are bytes but for the last stage; `snapshot` and `restore` carry the state over."""

    def receive(self, message: Any) -> Sent: ...

    def snapshot(self) -> bytes: ...

    def restore(self, state: bytes) -> None: ...


def tag(stage: str) -> OutputTag:
    return OutputTag(stage, KEYED)


def sent_to(stage: str, *streams: DataStream) -> list[DataStream]:
    """What the operators behind these streams sent to a stage."""
    return [DataStream(stream._j_data_stream.getSideOutput(tag(stage).get_java_output_tag())) for stream in streams]


def keyed(streams: list[DataStream]) -> KeyedStream:
    """Elements of type `KEYED`, by their key. `DataStream.key_by` would send every message through Python once more to ask for it."""
    from connectors.flink.gateway import gateway

    stream = streams[0].union(*streams[1:]) if len(streams) > 1 else streams[0]
    key = Types.ROW([Types.INT()]).get_java_type_info()
    by_key = stream._j_data_stream.keyBy(gateway().jvm.KeyByKeySelector(), key)
    return KeyedStream(by_key, Types.PICKLED_BYTE_ARRAY(), stream)


def in_order(stream: DataStream) -> DataStream:
    """The same elements, all to the first of the next operator's instances: Flink would deal those of a single one out to all of them in turn."""
    return DataStream(getattr(stream._j_data_stream, "global")())


class Durable(KeyedProcessFunction):  # type: ignore[misc]
    """Runs `make(key)` for each key. Messages for the stage `out` go to the main output as `write` makes them, others to their stage's tag.

    A core is kept as its snapshot after each message; where that is large, see `Logged`.

    Flink may leave the answers of the last bundle in a buffer until the next one, so a timer brings a next one.
    """

    def __init__(self, make: Callable[[int], Core], out: str, write: Callable[[Any], Any]) -> None:
        self._make, self._out, self._write = make, out, write
        self._waking: set[int] = set()
        self._cores: dict[int, Core] = {}
        self._tags: dict[str, OutputTag] = {}
        self._snapshot: ValueState

    def open(self, context: RuntimeContext) -> None:
        end_with_java()
        self._cores, self._waking = {}, set()
        self._snapshot = context.get_state(ValueStateDescriptor("snapshot", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, message: bytes, context: Any) -> Iterator[Any]:
        key = context.get_current_key()
        self._wake(key, context)
        yield from self._receive(key, message)

    def _receive(self, key: int, message: Any) -> Iterator[Any]:
        core = self._core(key)
        sent = list(core.receive(message))
        self._keep(key, core, message)
        yield from self._give(sent)

    def on_timer(self, timestamp: int, context: Any) -> Iterator[Any]:
        self._waking.discard(context.get_current_key())
        return iter(())

    def _wake(self, key: int, context: Any) -> None:
        if key not in self._waking:
            timers = context.timer_service()
            timers.register_processing_time_timer(timers.current_processing_time() + FLUSH_MS)
            self._waking.add(key)

    def _core(self, key: int) -> Any:
        if key not in self._cores:
            core = self._make(key)
            snapshot = self._snapshot.value()
            if snapshot is not None:
                core.restore(snapshot)
            self._replay(key, core)
            self._cores[key] = core
        return self._cores[key]

    def _replay(self, key: int, core: Any) -> None:
        """Give a core what is kept beside its snapshot."""

    def _keep(self, key: int, core: Core, message: Any) -> None:
        self._snapshot.update(core.snapshot())

    def _give(self, sent: list[tuple[str, int, Any]]) -> Iterator[Any]:
        for stage, key, message in sent:
            if stage == self._out:
                yield self._write(message)
            else:
                if stage not in self._tags:
                    self._tags[stage] = tag(stage)
                yield self._tags[stage], Row(key, message)


class Logged(Durable):
    """A core kept as its last snapshot and the messages since, which is cheap to write: they are received again, their answers dropped."""

    def open(self, context: RuntimeContext) -> None:
        super().open(context)
        self._logged: dict[int, int] = {}
        self._whole: dict[int, int] = {}  # bytes of the last snapshot
        self._log: ListState = context.get_list_state(ListStateDescriptor("log", Types.PICKLED_BYTE_ARRAY()))

    def _replay(self, key: int, core: Any) -> None:
        """Give a core the messages since its snapshot."""
        self._whole[key] = len(self._snapshot.value() or b"")
        logged = 0
        for message in self._log.get() or ():
            for _ in core.receive(message):
                pass
            logged += len(message)
        self._logged[key] = logged

    def _keep(self, key: int, core: Core, message: Any) -> None:
        """The log may grow to twice the snapshot, so that writing it costs little however large the state is."""
        if self._logged[key] + len(message) < max(LOG_BYTES, 2 * self._whole[key]):
            self._log.add(message)
            self._logged[key] += len(message)
            return
        snapshot = core.snapshot()
        self._snapshot.update(snapshot)
        if self._logged[key]:
            self._log.clear()
        self._logged[key], self._whole[key] = 0, len(snapshot)


class Holding(Durable):
    """A core that says itself which messages it still needs (see `Assemble`): most are needed for a moment only, and a log of all, written
    anew whenever it has grown, was two thirds of a job's state.
    """

    def open(self, context: RuntimeContext) -> None:
        super().open(context)
        self._held: MapState = context.get_map_state(MapStateDescriptor("held", Types.LONG(), Types.PICKLED_BYTE_ARRAY()))

    def _replay(self, key: int, core: Any) -> None:
        for number, message in sorted(self._held.items()):
            core.again(number, message)

    def _keep(self, key: int, core: Any, message: Any) -> None:
        for number, held in core.changes.items():
            if held is None:
                self._held.remove(number)
            else:
                self._held.put(number, held)
        core.changes.clear()
        super()._keep(key, core, message)


class Clocked(Durable):
    """A core of a key that has a clock: `_beat` is called at the times `_again` asks for, beginning `TICK_MS` after the key's first element."""

    def open(self, context: RuntimeContext) -> None:
        super().open(context)
        self._due: dict[int, int] = {}

    def on_timer(self, timestamp: int, context: Any) -> Iterator[Any]:
        # a timer of before a restart counts only where the clock does not run again already
        if self._due.get(context.get_current_key(), timestamp) == timestamp:
            yield from self._beat(context)

    def _beat(self, context: Any) -> Iterator[Any]:
        raise NotImplementedError

    def _again(self, context: Any, after: int) -> None:
        timers = context.timer_service()
        self._due[context.get_current_key()] = due = timers.current_processing_time() + after
        timers.register_processing_time_timer(due)

    def _wake(self, key: int, context: Any) -> None:
        if key not in self._due:
            self._again(context, TICK_MS)


class Reading(Clocked):
    """A core whose messages come from a log of its key's own. How far it was read is Flink's state; the elements that come in only start it.

    `open_log(key, offset)`, made in the worker, opens it to go on from an offset (None: the first); what it answers gives, call by call, the
    next message and the offset after it, or None. It is asked by the clock and not by each element, so that none queue up in front of a
    checkpoint's barrier. Its core's state is small, and a log of its messages, raw records, would not be.
    """

    def __init__(
        self, make: Callable[[int], Core], out: str, write: Callable[[Any], Any], open_log: Callable[[int, int | None], Callable[[], Any]]
    ) -> None:
        super().__init__(make, out, write)
        self._open_log = open_log
        self._logs: dict[int, Callable[[], tuple[Any, int] | None]] = {}
        self._offset: ValueState

    def open(self, context: RuntimeContext) -> None:
        super().open(context)
        self._logs = {}
        self._offset = context.get_state(ValueStateDescriptor("offset", Types.LONG()))

    def process_element(self, tick: bytes, context: Any) -> Iterator[Any]:
        self._wake(context.get_current_key(), context)
        return iter(())

    def _beat(self, context: Any) -> Iterator[Any]:
        key = context.get_current_key()
        if key not in self._logs:
            self._logs[key] = self._open_log(key, self._offset.value())
        found = self._logs[key]()
        self._again(context, TICK_MS if found is None else 1)
        if found is not None:
            message, offset = found
            self._offset.update(offset)
            yield from self._receive(key, message)


class Deciding(Clocked, Logged):
    """A core that also has `tick(quiet)`, which answers a message to receive: it goes on by the wall clock.

    `quiet` is made in the worker; it answers which partitions no longer hold the others.
    """

    def __init__(
        self, make: Callable[[int], Core], out: str, write: Callable[[Any], Any], quiet: Callable[[], Callable[[Any], Any]]
    ) -> None:
        super().__init__(make, out, write)
        self._make_quiet = quiet
        self._quiet: Callable[[Any], Any] | None = None

    def open(self, context: RuntimeContext) -> None:
        super().open(context)
        self._quiet = None

    def _beat(self, context: Any) -> Iterator[Any]:
        key = context.get_current_key()
        core: Any = self._core(key)
        self._quiet = self._quiet or self._make_quiet()
        message = core.tick(self._quiet)
        self._again(context, TURN_MS)
        if message is not None:
            yield from self._receive(key, message)
