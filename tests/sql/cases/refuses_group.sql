-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT card FROM tx GROUP BY card
-- refuses: met GROUP BY, wished a window
