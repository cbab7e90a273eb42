-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT sum(amount) AS s FROM tx
-- refuses: met sum without OVER, wished sum(...) OVER window
