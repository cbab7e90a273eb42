-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT amuont FROM tx
-- refuses: features.sql:1:8: met the column amuont, wished one of card, amount, ts. Did you mean amount?
