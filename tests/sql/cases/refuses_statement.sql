-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
INSERT INTO tx VALUES (1)
-- refuses: met INSERT, wished SELECT: a file of features is one query
