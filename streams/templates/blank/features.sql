-- One row a payment, the same values offline and online. Windows are as of the payment: it and what came before it.
SELECT payment_id, merchant, amount,
       count(*)    OVER card_1h      AS card_payments_1h,
       count(*)    OVER card_1d      AS card_payments_1d,
       avg(amount) OVER card_1d      AS card_avg_amount_1d,
       max(amount) OVER card_1d      AS card_max_amount_1d,
       avg(amount) OVER merchant_1d  AS merchant_avg_amount_1d
FROM payments
WINDOW card_1h     AS (PARTITION BY card     ORDER BY paid_at ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW),
       card_1d     AS (PARTITION BY card     ORDER BY paid_at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW),
       merchant_1d AS (PARTITION BY merchant ORDER BY paid_at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)
