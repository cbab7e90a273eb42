-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT temp FROM tx LAST JOIN w ORDER BY w.temp ON tx.card = w.city
-- refuses: met ORDER BY DOUBLE, wished an INT, BIGINT or TIMESTAMP column of the right table
