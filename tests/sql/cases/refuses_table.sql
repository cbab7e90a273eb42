-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT card FROM txx
-- refuses: met the table txx, wished one of tx, w. Did you mean tx?
