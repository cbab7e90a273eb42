"""What the kernel is asked to keep: stores of rows by key, and the windows and aggregates over them.

A plan compiles to these values; the kernel takes them and columns, and gives columns. They know nothing of SQL.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.types import Type


@dataclass(frozen=True)
class Frame:
    """The rows of a window as of the current row, which is position 0.

    `start` and `end` count PRECEDING: milliseconds of event time (`rows` false) or rows (`rows` true); None is UNBOUNDED,
    end 0 is CURRENT ROW. An open bound leaves out the rows exactly on it. Rows of the same key and event time that come later
    in the order are never in it.
    """

    rows: bool
    start: int | None
    end: int = 0
    start_open: bool = False
    end_open: bool = False
    maxsize: int | None = None  # the newest n rows of the frame
    exclude_current_time: bool = False  # drops rows of the current row's time, but not the current row
    exclude_current_row: bool = False  # drops the current row, which still counts as position 0


@dataclass(frozen=True)
class Aggregate:
    """One output column: `function` over argument columns of the store (indexes), with constant parameters.

    `function` is in lower case; `udaf:NAME` calls a registered Python aggregate. A `_where` form never reaches the kernel: its
    condition is folded into the argument (NULL where it does not hold).

    | function | arguments | parameters |
    |---|---|---|
    | count | one, or none for count(*) | |
    | sum, avg, min, max, distinct_count, median, entropy, drawdown, top1_ratio | value | |
    | var_pop, var_samp, stddev_pop, stddev_samp | value | |
    | lag | value | k: rows before the current one, whatever the frame |
    | first_value, last_value | value | nothing, or True to pass over NULLs |
    | nth_value | value, or value and condition (BOOL) | n: from 1, the oldest, or from -1, the newest |
    | ew_avg | value | alpha |
    | top, topn_frequency | value | n |
    | count_cate, sum_cate, avg_cate, min_cate, max_cate | value, category | |
    | top_n_key_*_cate, top_n_value_*_cate (* as in the row above) | value, category | n |
    | top_n_key_ratio_cate, top_n_value_ratio_cate | value, condition (BOOL), category | n |
    | join | text | separator |
    | join:, top1_ratio:, count:, distinct_count: before window_split | text | separator [, join's] |
    | the same before window_split_by_key, window_split_by_value | text | separator, separator within a pair [, join's] |

    A sum that `type` cannot hold is NULL, and counted in the kernel's `overflows`.
    """

    function: str
    arguments: tuple[int, ...]
    parameters: tuple[int | float | str | bool | None, ...] = ()
    type: Type = Type.DOUBLE


@dataclass(frozen=True)
class Window:
    """A frame and the aggregates computed over it."""

    frame: Frame
    aggregates: tuple[Aggregate, ...]


@dataclass(frozen=True)
class Store:
    """Rows kept by one partition key in event-time order, shared by all windows over them.

    `columns` are the types of the value columns. `history` is how many milliseconds beyond the longest frame a key's rows are
    kept, behind the newest event time seen for this key, for rows that arrive late; None keeps everything.
    """

    columns: tuple[Type, ...]
    windows: tuple[Window, ...]
    history: int | None = None


@dataclass(frozen=True)
class LastJoin:
    """The right row that a left row sees: by equal key, the greatest `order` (ties: the latest), or the latest to arrive.

    `ordered` tells which of the two. `history` as in Store.
    """

    ordered: bool
