-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT sum(amount) OVER hh AS a FROM tx WINDOW h AS (PARTITION BY card ORDER BY ts ROWS_RANGE BETWEEN 3h PRECEDING AND CURRENT ROW)
-- refuses: met the window hh, wished a window of the WINDOW clause
