"""A Python object per key inside Flink, on whole batches, kept by Flink's keyed state.

The object lives in the worker's memory. What Flink keeps is its last snapshot and the messages since, which is cheap to write and exact
to restore: after a failure or a rescale the snapshot is taken and the messages are received again, their answers dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext
from pyflink.datastream.state import ListState, ListStateDescriptor, ValueState, ValueStateDescriptor

Sent = Iterator[tuple[str, int, bytes]]
LOG_BYTES = 4 << 20
END = 2**63 - 1  # the watermark of a bounded input's end
TICK_MS = 200


class Core(Protocol):
    """`receive` answers (stage, key, message); `snapshot` and `restore` carry the state over."""

    def receive(self, message: bytes) -> Sent: ...

    def snapshot(self) -> bytes: ...

    def restore(self, state: bytes) -> None: ...


def tag(stage: str) -> OutputTag:
    return OutputTag(stage, Types.PICKLED_BYTE_ARRAY())


class Durable(KeyedProcessFunction):  # type: ignore[misc]
    """Runs `make(key)` for each key. Messages for `OUT` go to the main output, others to the tag of their stage."""

    def __init__(self, make: Callable[[int], Core], out: str) -> None:
        self._make, self._out = make, out
        self._cores: dict[int, Core] = {}
        self._logged: dict[int, int] = {}
        self._tags: dict[str, OutputTag] = {}
        self._snapshot: ValueState
        self._log: ListState

    def open(self, context: RuntimeContext) -> None:
        self._cores, self._logged = {}, {}
        self._snapshot = context.get_state(ValueStateDescriptor("snapshot", Types.PICKLED_BYTE_ARRAY()))
        self._log = context.get_list_state(ListStateDescriptor("log", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: tuple[int, bytes], context: Any) -> Iterator[Any]:
        key, message = value
        core = self._core(key)
        sent = list(core.receive(message))
        self._keep(key, core, message)
        yield from self._give(sent)

    def _core(self, key: int) -> Core:
        if key not in self._cores:
            core = self._make(key)
            snapshot = self._snapshot.value()
            if snapshot is not None:
                core.restore(snapshot)
            logged = 0
            for message in self._log.get() or ():
                for _ in core.receive(message):
                    pass
                logged += len(message)
            self._cores[key], self._logged[key] = core, logged
        return self._cores[key]

    def _keep(self, key: int, core: Core, message: bytes | None) -> None:
        """`message` None: what happened cannot be received again, so the state itself is written."""
        if message is not None and self._logged[key] + len(message) < LOG_BYTES:
            self._log.add(message)
            self._logged[key] += len(message)
            return
        self._snapshot.update(core.snapshot())
        self._log.clear()
        self._logged[key] = 0

    def _give(self, sent: list[tuple[str, int, bytes]]) -> Iterator[Any]:
        for stage, key, message in sent:
            if stage == self._out:
                yield message
            else:
                if stage not in self._tags:
                    self._tags[stage] = tag(stage)
                yield self._tags[stage], (key, message)


class Deciding(Durable):
    """A core that also has `tick(quiet)` and `end()`: it goes on by the wall clock, and at the end of a bounded input.

    `quiet` is made in the worker; it answers which partitions no longer hold the others.
    """

    def __init__(self, make: Callable[[int], Core], out: str, quiet: Callable[[], Callable[[Any], Any]]) -> None:
        super().__init__(make, out)
        self._make_quiet = quiet
        self._quiet: Callable[[Any], Any] | None = None
        self._armed = False

    def open(self, context: RuntimeContext) -> None:
        super().open(context)
        self._quiet, self._armed = None, False

    def process_element(self, value: tuple[int, bytes], context: Any) -> Iterator[Any]:
        timers = context.timer_service()
        if not self._armed:
            timers.register_event_time_timer(END)
            timers.register_processing_time_timer(timers.current_processing_time() + TICK_MS)
            self._armed = True
        yield from super().process_element(value, context)

    def on_timer(self, timestamp: int, context: Any) -> Iterator[Any]:
        key = context.get_current_key()
        core: Any = self._core(key)
        if timestamp >= END:
            sent = list(core.end())
        else:
            self._quiet = self._quiet or self._make_quiet()
            sent = list(core.tick(self._quiet))
            timers = context.timer_service()
            timers.register_processing_time_timer(timers.current_processing_time() + TICK_MS)
            self._armed = True
        if sent:
            self._keep(key, core, None)
        yield from self._give(sent)
