-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT sum(amount) OVER (PARTITION BY card ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW MAXSIZE 2) AS a FROM tx
-- refuses: met MAXSIZE of a ROWS frame
