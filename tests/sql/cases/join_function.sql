-- table tx(card STRING, tags STRING, ts TIMESTAMP)
-- a | x:y | 1000
-- b | NULL | 2000
-- a | z | 3000
-- c | u | 4000
SELECT join(split(tags, ':'), '+') AS one, join(tags, ',') OVER w AS whole, join(window_split(tags, ':'), ',') OVER w AS parts
FROM tx
WHERE card = 'b' OR join(split(tags, ':'), '') = 'xy' OR tags = 'z'
WINDOW w AS (PARTITION BY card ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)
-- gives
-- x+y | x:y | x,y
-- '' | '' | ''
-- z | z,x:y | z,x,y
