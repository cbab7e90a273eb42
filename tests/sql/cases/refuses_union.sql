-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT sum(amount) OVER (UNION w PARTITION BY card ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS a FROM tx
-- refuses: met UNION of (city STRING, temp DOUBLE, at TIMESTAMP), wished
