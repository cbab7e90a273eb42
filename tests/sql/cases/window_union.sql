-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- a | 1.0 | 2000
-- a | 2.0 | 3000
-- table other(card STRING, amount DOUBLE, ts TIMESTAMP)
-- a | 10.0 | 1000
-- a | 20.0 | 3000
-- b | 40.0 | 1000
SELECT sum(amount) OVER w AS w, sum(amount) OVER i AS i FROM tx
WINDOW w AS (UNION other PARTITION BY card ORDER BY ts ROWS_RANGE BETWEEN 5s PRECEDING AND CURRENT ROW),
       i AS (UNION (SELECT card, amount * 2 AS amount, ts FROM other) AS o PARTITION BY card ORDER BY ts
             ROWS_RANGE BETWEEN 5s PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)
-- gives
-- 11.0 | 21.0
-- 33.0 | 62.0
