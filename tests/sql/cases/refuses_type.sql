-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT avg(card) OVER h AS a FROM tx WINDOW h AS (PARTITION BY card ORDER BY ts ROWS_RANGE BETWEEN 3h PRECEDING AND CURRENT ROW)
-- refuses: features.sql:1:8: met avg(STRING), wished avg(a number). A column that fits: amount.
