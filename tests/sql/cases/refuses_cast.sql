-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT CAST(amount AS DATE) AS a FROM tx
-- refuses: met CAST(DOUBLE AS DATE)
