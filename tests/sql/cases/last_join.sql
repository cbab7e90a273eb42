-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- a | 1.0 | 2000
-- b | 2.0 | 3000
-- NULL | 3.0 | 4000
-- table city(name STRING, size INT, at TIMESTAMP)
-- a | 7 | 1000
-- a | 8 | 900
-- NULL | 9 | 1000
SELECT card, size, c2.size AS newest FROM tx LAST JOIN city ORDER BY city.at ON tx.card = city.name LAST JOIN city AS c2 ON tx.card = c2.name
-- refuses: which 2 columns are called
