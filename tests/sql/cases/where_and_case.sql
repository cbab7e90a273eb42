-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- a | 1.0 | 2000
-- b | 2.0 | 3000
-- c | NULL | 3000
SELECT card, CASE WHEN amount > 1.5 THEN 'big' WHEN amount IS NULL THEN 'none' ELSE 'small' END AS size, amount IN (1, 2) AS known
FROM tx WHERE card <> 'a' OR amount BETWEEN 0.5 AND 1.5
-- gives
-- a | 'small' | true
-- b | 'big' | true
-- c | 'none' | NULL
