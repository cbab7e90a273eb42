-- table t(id INT, x DOUBLE, c STRING, y BOOL)
-- 1 | 0.5 | 'red' | true
-- 2 | NULL | NULL | false
SELECT csv(binary_label(y), continuous(x), continuous(id)) AS a, libsvm(binary_label(y), continuous(x), continuous(id)) AS b, gcformat(regression_label(id), discrete(id, 5)) AS g FROM t
-- gives
-- '1,0.500000,1' | '1 1:0.500000 2:1' | '1 | 1:4'
-- '0,,2' | '0 2:2' | '2 | 1:1'
