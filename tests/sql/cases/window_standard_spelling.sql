-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- a | 1.5 | 1000
-- a | 2.5 | 2000
-- a | 4.0 | 9000
SELECT sum(amount) OVER (PARTITION BY card ORDER BY ts RANGE BETWEEN INTERVAL '2' SECOND PRECEDING AND CURRENT ROW) AS s,
       count(*) OVER (PARTITION BY card ORDER BY ts ROWS 1 PRECEDING) AS n,
       count(DISTINCT amount) OVER (PARTITION BY card ORDER BY ts) AS d
FROM tx
-- gives
-- 1.5 | 1 | 1
-- 4.0 | 2 | 2
-- 4.0 | 2 | 3
