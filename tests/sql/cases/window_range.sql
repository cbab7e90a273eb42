-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- a | 1.5 | 1000
-- a | 2.5 | 2000
-- b | 9.0 | 2500
-- a | NULL | 4000
-- a | 4.0 | 4000
SELECT card, sum(amount) OVER w AS s, count(amount) OVER w AS n, avg(amount) OVER w AS m
FROM tx WINDOW w AS (PARTITION BY card ORDER BY ts ROWS_RANGE BETWEEN 2s PRECEDING AND CURRENT ROW)
-- gives
-- a | 1.5 | 1 | 1.5
-- a | 4.0 | 2 | 2.0
-- b | 9.0 | 1 | 9.0
-- a | 2.5 | 1 | 2.5
-- a | 6.5 | 2 | 3.25
