-- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
-- table w(city STRING, temp DOUBLE, at TIMESTAMP)
SELECT card FROM tx OPTIONS(long_window = 'w:1h')
-- refuses: met the option long_window, wished long_windows
