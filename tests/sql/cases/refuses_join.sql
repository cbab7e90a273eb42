-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT card FROM tx LEFT JOIN w ON tx.card = w.city
-- refuses: met LEFT JOIN, wished LAST JOIN
