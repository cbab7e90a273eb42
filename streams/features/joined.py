"""LAST JOIN: the right row a left row sees at its place in the order. Equal keys go to the kernel, other conditions are searched backwards."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from streams.features.engine import Engine, flat
from streams.features.kernel.joins import JoinKernel, SortedRows
from streams.features.kernel.keys import KeyIndex
from streams.features.plan import Join
from streams.features.runners import Found, Rows, Runner
from streams.features.spec import LastJoin
from streams.types import Batch, Int64

_PARTITION, _OFFSET, _KEY, _RANK = "@partition", "@offset", "@key", "@rank"
_NOTHING = -(2**63)
_CHUNKS = 32  # kept rows are copied together when they lie in more pieces than this


class JoinRunner:
    """Right rows are kept as long as a left row can still see them: with a residual condition all, else one a key."""

    def __init__(self, node: Join, left: Runner, right: Runner, engine: Engine, kept: frozenset[str]) -> None:
        self._node, self._left, self._right = node, left, right
        self._index = KeyIndex()
        self._kernel = JoinKernel(LastJoin(node.order is not None)) if node.residual is None else None
        self._refs = sorted(kept)
        self._left_keys = engine.query([(f"k{i}", key) for i, (key, _) in enumerate(node.keys)], left.kinds)
        asked = [(f"k{i}", key) for i, (_, key) in enumerate(node.keys)] + ([("rank", node.order)] if node.order is not None else [])
        self._right_keys = engine.query(asked, right.kinds)
        self.kinds = {**left.kinds, **{node.prefix + ref: right.kinds[ref] for ref in self._refs}}
        self._residual = engine.query([("hit", node.residual)], self.kinds) if node.residual is not None else None
        self._schema = pa.schema(
            [pa.field(ref, right.kinds[ref].arrow) for ref in self._refs]
            + [pa.field(_PARTITION, pa.int32()), pa.field(_OFFSET, pa.int64()), pa.field(_KEY, pa.int64()), pa.field(_RANK, pa.int64())]
        )
        self._kept = self._schema.empty_table()
        self._ordinals = np.empty(0, np.int64)  # of the kept rows, ascending
        self._sorted = SortedRows()  # the same rows, where a residual condition searches them
        self._total = 0

    def run(self, batch: Batch, found: Found) -> Rows:
        left, right = found[id(self._left)], found[id(self._right)]
        right_ids, ranks, known = self._take(right)
        left_ids = self._ids(self._left_keys.run(left.columns, left.count), left.count, add=False)
        before = self._total - right.count
        if self._kernel is not None:
            place = np.concatenate([right.order, left.order])
            side = np.concatenate([np.zeros(right.count, np.bool_), np.ones(left.count, np.bool_)])
            merged = np.lexsort((side, place))
            order = np.concatenate([ranks, np.zeros(left.count, np.int64)])[merged] if self._node.order is not None else None
            valid = np.concatenate([known, np.ones(left.count, np.bool_)])[merged] if self._node.order is not None else None
            ordinals = self._kernel.process(np.concatenate([right_ids, left_ids])[merged], order, side[merged], valid)
        else:
            ordinals = self._search(left, left_ids, right, before)
        rows = self._joined(left, ordinals)
        self._forget()
        return rows

    # ------------------------------------------------------------ parts

    def _ids(self, values: Mapping[str, pa.Array], count: int, *, add: bool) -> Int64:
        if not self._node.keys:
            return np.zeros(count, np.int64)
        return self._index.ids([values[f"k{i}"] for i in range(len(self._node.keys))], add=add)

    def _take(self, right: Rows) -> tuple[Int64, Int64, np.ndarray]:
        """Keep the batch's right rows; their key ids, order values and where these are known."""
        values = self._right_keys.run(right.columns, right.count)
        ids = self._ids(values, right.count, add=True)
        ranks, known = np.zeros(right.count, np.int64), np.ones(right.count, np.bool_)
        if self._node.order is not None:
            array = values["rank"].view(pa.int64()) if pa.types.is_timestamp(values["rank"].type) else values["rank"].cast(pa.int64())
            known = array.is_valid().to_numpy(zero_copy_only=False)
            ranks = array.fill_null(0).to_numpy(zero_copy_only=False)
            if self._node.descending:
                ranks = ~ranks
        if right.count:
            partition = right.partition.cast(pa.int32()) if right.partition is not None else pa.nulls(right.count, pa.int32())
            offset = right.offset.cast(pa.int64()) if right.offset is not None else pa.nulls(right.count, pa.int64())
            sorted_by = np.where(known, ranks, _NOTHING)
            if self._kernel is None:
                self._sorted.add(ids, sorted_by)
            arrays = [*(right.columns[ref] for ref in self._refs), partition, offset, pa.array(ids), pa.array(sorted_by)]
            self._kept = pa.concat_tables([self._kept, pa.table(arrays, schema=self._schema)])
            if self._kept.column(0).num_chunks > _CHUNKS:
                self._kept = self._kept.combine_chunks()
            self._ordinals = np.concatenate([self._ordinals, np.arange(self._total, self._total + right.count)])
            self._total += right.count
        return ids, ranks, known

    def _joined(self, left: Rows, ordinals: Int64) -> Rows:
        at = np.searchsorted(self._ordinals, np.maximum(ordinals, 0))
        hit = pa.array(at, mask=ordinals < 0)
        taken = self._kept.take(hit)
        columns = {self._node.prefix + ref: flat(taken.column(ref)) for ref in self._refs}
        seen = {f"_{self._node.name}_partition": taken.column(_PARTITION), f"_{self._node.name}_offset": taken.column(_OFFSET)}
        return replace(left, columns={**left.columns, **columns}, seen={**left.seen, **seen})

    def _search(self, left: Rows, left_ids: Int64, right: Rows, before: int) -> Int64:
        """For each left row, the last kept right row of its key, by order and arrival, where the residual condition holds."""
        low, high = self._sorted.spans(left_ids)
        place = np.concatenate([np.array([-1]), right.order])  # of this batch's right rows; earlier ones are before all
        answers = np.full(left.count, -1, np.int64)
        open_, width = np.flatnonzero(high > low), 4
        while len(open_):
            start = np.maximum(low[open_], high[open_] - width)
            counts = high[open_] - start
            of = np.repeat(open_, counts)
            inside = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
            candidate = self._sorted.ordinals[np.repeat(start, counts) + inside]
            came = place[np.maximum(candidate - before + 1, 0)] <= left.order[of]
            holds = self._holds(left, of, candidate) & came
            answers[of[holds]] = candidate[holds]  # ascending: the last one stays
            high[open_] = start
            open_ = open_[(answers[open_] < 0) & (high[open_] > low[open_])]
            width = min(width * 4, max(4, 400_000 // max(len(open_), 1)))
        return answers

    def _holds(self, left: Rows, of: Int64, candidate: Int64) -> np.ndarray:
        assert self._residual is not None
        held = np.zeros(len(of), np.bool_)
        for begin in range(0, len(of), 500_000):
            part = slice(begin, begin + 500_000)
            mine, theirs = pa.array(of[part]), pa.array(candidate[part])
            columns = {}
            for ref in self._residual.refs:
                if ref.startswith(self._node.prefix):
                    columns[ref] = flat(self._kept.column(ref.removeprefix(self._node.prefix)).take(theirs))
                else:
                    columns[ref] = left.columns[ref].take(mine)
            hits = self._residual.run(columns, len(mine))["hit"]
            held[part] = hits.fill_null(False).to_numpy(zero_copy_only=False)
        return held

    def _forget(self) -> None:
        """Let go of right rows that nothing can see any more, from time to time."""
        if self._kernel is None or len(self._ordinals) < 1024:
            return
        live = self._kernel.live()
        if len(self._ordinals) > 2 * len(live) + 1024:
            at = np.searchsorted(self._ordinals, live)
            self._kept = self._kept.take(pa.array(at)).combine_chunks()
            self._ordinals = live

    # ------------------------------------------------------------ state

    def snapshot(self) -> Mapping[str, bytes]:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            writer.write_table(self._kept)
        state = {
            "rows": sink.getvalue(),
            "ordinals": self._ordinals.tobytes(),
            "total": str(self._total).encode(),
            "keys": self._index.snapshot(),
        }
        return state | ({"kernel": self._kernel.snapshot()} if self._kernel is not None else {})

    def restore(self, state: Mapping[str, bytes]) -> None:
        with pa.ipc.open_stream(state["rows"]) as reader:
            self._kept = reader.read_all()
        self._ordinals = np.frombuffer(state["ordinals"], np.int64).copy()
        self._total = int(state["total"])
        self._index.restore(state["keys"])
        if self._kernel is not None:
            self._kernel.restore(state["kernel"])
        else:
            self._sorted = SortedRows()
            self._sorted.add(self._kept.column(_KEY).to_numpy(), self._kept.column(_RANK).to_numpy())
