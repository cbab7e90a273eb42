SELECT visit_id, amount, basket, country,
       sum(amount) OVER w AS amount_1d,
       count(amount) OVER w AS visits_1d
FROM visits
WINDOW w AS (PARTITION BY country ORDER BY at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)
