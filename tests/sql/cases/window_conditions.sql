-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- a | 1.0 | 1000
-- b | 5.0 | 1500
-- a | 3.0 | 2000
-- a | 2.0 | 3000
SELECT count_where(amount, amount > 1) OVER w AS n, sum_where(amount, amount > 1) OVER w AS s, count_where(card, amount > last_value(amount)) OVER w AS above,
  sum_cate(amount, card) OVER w AS c, top_n_value_sum_cate_where(amount, amount > 1, card, 1) OVER w AS t
FROM (SELECT *, 1 AS k FROM tx) WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)
-- gives
-- 0 | NULL | 0 | 'a:1.000000' | ''
-- 1 | 5.0 | 0 | 'a:1.000000,b:5.000000' | 'b:5.000000'
-- 2 | 8.0 | 1 | 'a:4.000000,b:5.000000' | 'b:5.000000'
-- 3 | 10.0 | 2 | 'a:6.000000,b:5.000000' | 'b:5.000000'
