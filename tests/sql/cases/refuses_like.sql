-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT amount LIKE "a%" AS a FROM tx
-- refuses: met DOUBLE LIKE STRING, wished two STRINGs
