-- table t(i INT, s SMALLINT, b BIGINT, f FLOAT, d DOUBLE, o BOOL)
-- 7 | 2 | 9223372036854775807 | 1.5 | 2.5 | true
-- 2147483647 | 0 | 5 | 0.0 | 0.0 | false
SELECT i / s AS q, i % s AS r, i DIV s AS w, i + 1 AS plus, b + 1 AS more, f * 2 AS ff, d / f AS x, i + o AS y, -s AS n, i & 3 AS a, CAST(b AS INT) AS cut FROM t
-- gives
-- 3.5 | 1 | 3 | 8 | NULL | 3.0 | 1.6666666666666667 | 8 | -2 | 3 | -1
-- NULL | NULL | NULL | NULL | 6 | 0.0 | NULL | 2147483647 | 0 | 3 | 5
