"""What is refused: every clause that nothing would read, at its place; and what is said of words that are not of this dialect."""

from __future__ import annotations

import pytest

from streams.errors import FeatureError
from streams.features.aggregates import AGGREGATES
from streams.features.functions import FUNCTIONS
from streams.features.plan import compile_features
from streams.features.refusal import ELSEWHERE
from streams.types import Type

COLUMNS = {"k": Type.STRING, "n": Type.INT, "ts": Type.TIMESTAMP}
SCHEMAS = {"t": COLUMNS, "r": COLUMNS}
JOIN = "SELECT t.k FROM t LAST JOIN r ORDER BY r.n {} ON t.k = r.k"
WINDOW = "SELECT sum(n) OVER w AS s FROM t WINDOW w AS (PARTITION BY k ORDER BY {} ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
NAMES = "met a list of column names behind an alias, wished AS name behind each column of the SELECT."


def refused(sql: str) -> str:
    with pytest.raises(FeatureError) as error:
        compile_features(sql, SCHEMAS)
    return error.value.message.removeprefix("features.sql:")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("WITH a(n, k) AS (SELECT k, n FROM t) SELECT n FROM a", f"1:8: {NAMES}"),
        ("SELECT n FROM (SELECT k, n FROM t) AS x(n, v)", f"1:41: {NAMES}"),
        ("SELECT n FROM t AS x(v)", f"1:22: {NAMES}"),
        ("SELECT k FROM t SAMPLE (1)", f"1:25: {NAMES}"),
        ("WITH a AS MATERIALIZED (SELECT k FROM t) SELECT k FROM a", "1:32: met MATERIALIZED, wished a query without it."),
        ("SELECT k FROM ((SELECT k FROM t) LIMIT 1) AS x", "1:40: met LIMIT behind a query in parentheses, wished LIMIT inside of them."),
        ("SELECT k FROM ((SELECT k FROM t) WHERE k = 'a') AS x", "1:40: met WHERE, wished a query without it."),
        (
            "SELECT k FROM ((SELECT k FROM t) LAST JOIN r ON t.k = r.k) AS x",
            "1:34: met a nested join, wished LAST JOIN one after the other.",
        ),
        ("SELECT n BETWEEN SYMMETRIC 4 AND 1 AS b FROM t", "1:8: met SYMMETRIC, wished BETWEEN low AND high."),
        ("SELECT k FROM t TABLESAMPLE (10 PERCENT)", "1:30: met TABLESAMPLE, wished a table or a subquery, and its alias."),
        ("SELECT k FROM (SELECT k FROM t) AS x TABLESAMPLE (5)", "1:51: met TABLESAMPLE, wished a table or a subquery, and its alias."),
        ("SELECT k FROM t PIVOT(sum(n) FOR k IN ('a'))", "1:23: met PIVOT, wished a table or a subquery, and its alias."),
        ("SELECT k FROM t WITH ORDINALITY", "1:15: met WITH ORDINALITY, wished a table or a subquery, and its alias."),
        ("SELECT k FROM t VERSION AS OF 1", "1:31: met a version of a table, wished a table or a subquery, and its alias."),
        ("SELECT k FROM t WITH (NOLOCK)", "1:15: met a hint, wished a table or a subquery, and its alias."),
        ("SELECT k FROM t@d", "1:16: met '@', wished another word here."),
        ("SELECT n:a FROM t", "1:9: met ':', wished another word here."),
        ("SELECT k FROM t FINAL", "1:17: met 'FINAL', wished another word here."),
        ("SELECT k FROM t NOT INDEXED", "1:17: met 'NOT', wished a table and its alias."),
        ("SELECT k FROM t*", "1:16: met '*', wished a table and its alias."),
        ("SELECT k FROM c.db.t", "1:15: met a name of three parts, wished database.table."),
        ("SELECT k FROM t FOR UPDATE", "1:8: met FOR UPDATE, wished a query alone."),
        ("SELECT k FROM t CONNECT BY k", "1:28: met CONNECT, wished a query without it."),
        ("SELECT AS STRUCT k FROM t", "1:18: met SELECT AS, wished SELECT and columns."),
        ("SELECT k FROM t LIMIT 1 BY k", "1:28: met LIMIT ... BY, wished LIMIT and a whole number."),
        ("SELECT k FROM t LIMIT 10 PERCENT", "1:23: met LIMIT with an option, wished LIMIT and a whole number."),
        ("SELECT 1 AS x LAST JOIN r ON true", "1:15: met a join without FROM, wished a table behind FROM."),
        ("SELECT * ILIKE 'x' FROM t", "1:16: met * with exceptions, wished * alone."),
        ("SELECT t.* EXCEPT (k) FROM t", "1:20: met * with exceptions, wished * alone."),
        (JOIN.format("NULLS LAST"), "1:40: met NULLS LAST, wished the column alone: NULL is the least value."),
        (JOIN.format("DESC NULLS FIRST"), "1:40: met NULLS FIRST, wished the column alone: NULL is the least value."),
        (JOIN.format("WITH FILL"), "1:40: met WITH FILL, wished a column."),
        (WINDOW.format("ts NULLS LAST"), "1:71: met NULLS LAST, wished the column alone: NULL is the least value."),
    ],
)
def test_no_clause_is_left_out_in_silence(sql: str, message: str) -> None:
    assert refused(sql) == message


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE a AS (SELECT k FROM t) SELECT k FROM a AS b",
        "SELECT k FROM ((SELECT k FROM t LIMIT 1)) AS x",
        "SELECT t.*, n BETWEEN ASYMMETRIC 1 AND 4 AS b FROM t",
        "SELECT final.n AS final, final.k FROM t AS final LAST JOIN r ON final.n * 2 = r.n",
        JOIN.format("NULLS FIRST"),
        JOIN.format("DESC NULLS LAST"),
        WINDOW.format("ts ASC NULLS FIRST"),
    ],
)
def test_what_says_the_default_is_read(sql: str) -> None:
    assert compile_features(sql, SCHEMAS).hash


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT k,\n  'abc FROM t", "2:3: met ' without an end, wished another '."),
        ("SELECT 'it\\'s', k || \"abc FROM t", '1:22: met " without an end, wished another ".'),
        ("-- it's\nSELECT `k FROM t", "2:8: met ` without an end, wished another `."),
        ("SELECT k /* the\n rest FROM t", "1:10: met /* without an end, wished */."),
        ("SELECT k FROM", "1:14: met the end, wished table name."),
        ("SELECT k FROM t LAST JOIN ;", "1:26: met the end, wished table name."),
        ("SELECT k FROM WHERE n = 1", "1:15: met 'WHERE', wished table name."),
        ("SELECT n::STRING FROM t", "1:9: met ::, wished CAST(n AS STRING)."),
        ("SELECT (n + 1)::bigint FROM t", "1:15: met ::, wished CAST(... AS BIGINT)."),
        ("SELECT k FROM t JOIN (SELECT k FROM r) AS x ON t.k = x.k", "1:30: met JOIN, wished LAST JOIN: one row for each event."),
        ("SELECT k FROM t LEFT JOIN (SELECT k FROM r) AS x ON t.k = x.k", "1:35: met LEFT JOIN, wished LAST JOIN: one row for each event."),
        (
            WINDOW.format("ts").replace("ROW)", "ROW EXCLUDE CURRENT_ROW MAXSIZE 3)"),
            "1:135: met 'MAXSIZE', wished MAXSIZE once, and before EXCLUDE and INSTANCE_NOT_IN_WINDOW.",
        ),
        (
            WINDOW.format("ts").replace("ROW)", "ROW MAXSIZE 3 MAXSIZE 4)"),
            "1:125: met 'MAXSIZE', wished MAXSIZE once, and before EXCLUDE and INSTANCE_NOT_IN_WINDOW.",
        ),
        (
            WINDOW.format("ts").replace("ROWS BETWEEN 3", "RANGE BETWEEN INTERVAL '3 hours'"),
            "1:97: met '3 hours', wished a unit behind the quotes, as in INTERVAL '3' HOUR.",
        ),
    ],
)
def test_a_refusal_says_where_and_what_instead(sql: str, message: str) -> None:
    assert refused(sql) == message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("k RLIKE '['", "1:16: met the pattern '[', wished a regular expression of RE2. missing ]: [."),
        ("regexp_like(k, '(?=b)')", "1:23: met the pattern '(?=b)', wished a regular expression of RE2. invalid perl operator: (?=."),
        (
            "regexp_like(k, '*a', 'i')",
            "1:23: met the pattern '*a', wished a regular expression of RE2. no argument for repetition operator: *.",
        ),
        (
            "date_format(ts, '%Q')",
            "1:24: met the format '%Q', wished the codes of strftime, as in %Y-%m-%d %H:%M:%S. Failed to parse format specifier %Q: Unrecognized format for strftime/strptime: %Q.",
        ),
        (
            "date_format(ts, '')",
            "1:24: met the format '', wished the codes of strftime, as in %Y-%m-%d %H:%M:%S. Failed to parse format specifier : Empty format string.",
        ),
        ("date_format(ts, k)", "1:24: met a format that is a column, wished a constant."),
    ],
)
def test_a_constant_with_a_syntax_of_its_own_is_refused_at_its_place(call: str, message: str) -> None:
    assert refused(f"SELECT {call} AS x FROM t") == message


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("coalesce(n, 1)", "Did you mean if_null?"),
        ("nullif(n, 1)", "Did you mean CASE?"),
        ("length(k)", "Did you mean char_length?"),
        ("lead(n)", "Did you mean lag?"),
        ("sume(n)", "Did you mean sum?"),
        ("now()", ""),
        ("trim(k)", ""),
    ],
)
def test_a_word_of_another_dialect_is_told_in_ours(call: str, hint: str) -> None:
    name = call.partition("(")[0]
    assert refused(f"SELECT {call} FROM t") == f"1:8: met the function {name}, wished a function of this dialect. {hint}".rstrip()


def test_only_names_that_exist_are_offered() -> None:
    known = {*FUNCTIONS, *AGGREGATES}
    assert {name for name in ELSEWHERE.values() if not name.isupper()} <= known
    assert not known & set(ELSEWHERE)
