-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT summ(amount) OVER h AS a FROM tx WINDOW h AS (PARTITION BY card ORDER BY ts ROWS_RANGE BETWEEN 3h PRECEDING AND CURRENT ROW)
-- refuses: met the function summ, wished a function of this dialect. Did you mean sum?
