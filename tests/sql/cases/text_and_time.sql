-- timezone +08:00
-- table t(v STRING, ts TIMESTAMP, d DATE)
-- 'Mike_1' | 1590115420000 | 2020-05-20
-- NULL | NULL | NULL
SELECT substring(v, 2, 3) AS s, upper(v) AS u, v LIKE 'M%\\_1' AS l, v ILIKE 'm_ke%' AS i, concat(v, 1, true) AS c, strcmp(v, 'Mike') AS k,
  hour(ts) AS h, day(d) AS dd, dayofweek(d) AS w, string(ts) AS t, date(ts) AS dt, ts + 1000 AS later, hash64(v) AS x FROM t
-- gives
-- 'ike' | 'MIKE_1' | true | true | 'Mike_11true' | 1 | 10 | 20 | 4 | '2020-05-22 10:43:40' | 2020-05-22 | 1590115421000 | -1260440594445210013
-- NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL
