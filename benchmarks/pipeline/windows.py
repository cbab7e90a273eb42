"""The windows of one card in plain Python, as a good user of a record-at-a-time engine would write them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

SPANS = (3_600_000, 86_400_000, 259_200_000)
LATE_MS = 600_000  # a row may come so long after its time and still wants what was in its windows


class CardWindows:
    """Rows of one card by event time, with a running sum and a left edge for each window; O(1) for rows in order."""

    KEPT = 64  # rows that no row to come can see and that wait to be cut off together
    __slots__ = ("amounts", "left", "sums", "times")

    def __init__(self, rows: list[list[float]] | None = None) -> None:
        self.times: list[int] = []
        self.amounts: list[float] = []
        self.left = [0, 0, 0]
        self.sums = [0.0, 0.0, 0.0]
        for at, amount in rows or ():
            self.add(int(at), amount)

    def add(self, at: int, amount: float) -> list[float]:
        """Take one row in; count, sum and avg of each window as of it."""
        times, amounts = self.times, self.amounts
        if times and at < times[-1]:
            return self._late(at, amount)
        times.append(at)
        amounts.append(amount)
        out: list[float] = []
        for w, span in enumerate(SPANS):
            left, total = self.left[w], self.sums[w] + amount
            while times[left] < at - span:
                total -= amounts[left]
                left += 1
            self.left[w], self.sums[w] = left, total
            count = len(times) - left
            out += (count, total, total / count)
        if min(self.left) > self.KEPT and (gone := bisect_left(times, at - SPANS[-1] - LATE_MS)) > self.KEPT:
            del times[:gone], amounts[:gone]
            self.left = [left - gone for left in self.left]
        return out

    def _late(self, at: int, amount: float) -> list[float]:
        place = bisect_right(self.times, at)
        newest = self.times[-1]
        self.times.insert(place, at)
        self.amounts.insert(place, amount)
        out: list[float] = []
        for w, span in enumerate(SPANS):
            if place < self.left[w] or at < newest - span:
                self.left[w] += 1
            else:
                self.sums[w] += amount
            first = bisect_left(self.times, at - span)
            frame = self.amounts[first : place + 1]
            out += (len(frame), sum(frame), sum(frame) / len(frame))
        return out


def row(event: dict[str, object], values: list[float]) -> dict[str, object]:
    """The feature row of an event."""
    names = ("count_1h", "sum_1h", "avg_1h", "count_24h", "sum_24h", "avg_24h", "count_3d", "sum_3d", "avg_3d")
    return {"i": event["i"], "card": event["card"], "paid_at": event["paid_at"], **dict(zip(names, values, strict=True))}
