-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT sum(amount) OVER (PARTITION BY card ORDER BY amount ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS a FROM tx
-- refuses: met ORDER BY DOUBLE, wished an INT, BIGINT or TIMESTAMP column. A column that fits: ts.
