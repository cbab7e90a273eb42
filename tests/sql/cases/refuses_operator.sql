-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT ts * 2 AS a FROM tx
-- refuses: met TIMESTAMP * INT, wished two numbers
