-- What is known of a flight two hours before its scheduled departure: the timetable, the weather at its origin, and how flights of its airport,
-- airline, destination and aircraft did lately. One text, offline and online.
--
-- A window holds what happened up to the moment of the announcement and nothing after it: departures and landings of other flights join it by
-- UNION, at the time they happened.
WITH
  announced AS (
    SELECT flight_id, known_at AS at, carrier, tailnum, origin, dest, hour, weekday, distance,
           (bigint(scheduled_arrival) - bigint(scheduled_departure)) / 60000 AS planned_minutes, double(NULL) AS delay, double(NULL) AS late
    FROM flights
  ),
  departed AS (
    SELECT flight_id, departed_at AS at, carrier, tailnum, origin, dest, int(NULL) AS hour, int(NULL) AS weekday, int(NULL) AS distance,
           double(NULL) AS planned_minutes, dep_delay AS delay, CASE WHEN dep_delay > 15 THEN 1.0 ELSE 0.0 END AS late
    FROM departures
  ),
  landed AS (
    SELECT flight_id, arrived_at AS at, carrier, tailnum, origin, dest, int(NULL) AS hour, int(NULL) AS weekday, int(NULL) AS distance,
           double(NULL) AS planned_minutes, arr_delay AS delay, CASE WHEN arr_delay > 15 THEN 1.0 ELSE 0.0 END AS late
    FROM arrivals
  )
SELECT
  flight_id,

  -- the timetable
  carrier, announced.origin, dest, hour, weekday, distance, planned_minutes,

  -- the weather of the last full hour
  weather.temp, weather.dewp, weather.humid, weather.wind_dir, weather.wind_speed, weather.wind_gust, weather.precip, weather.pressure, weather.visib,

  -- how much is planned
  count(flight_id) OVER origin_announced_1h  AS origin_announced_1h,
  count(flight_id) OVER origin_announced_3h  AS origin_announced_3h,
  count(flight_id) OVER carrier_announced_3h AS carrier_announced_3h,

  -- the airport
  count(delay) OVER origin_departed_1h  AS origin_departed_1h,
  avg(delay)   OVER origin_departed_1h  AS origin_dep_delay_1h,
  avg(late)    OVER origin_departed_1h  AS origin_dep_late_1h,
  count(delay) OVER origin_departed_3h  AS origin_departed_3h,
  avg(delay)   OVER origin_departed_3h  AS origin_dep_delay_3h,
  avg(late)    OVER origin_departed_3h  AS origin_dep_late_3h,
  max(delay)   OVER origin_departed_24h AS origin_dep_delay_max_24h,
  avg(delay)   OVER origin_landed_1h    AS origin_arr_delay_1h,
  avg(delay)   OVER origin_landed_3h    AS origin_arr_delay_3h,
  avg(late)    OVER origin_landed_3h    AS origin_arr_late_3h,
  avg(delay)   OVER origin_landed_24h   AS origin_arr_delay_24h,

  -- the airline, and the airline at this airport
  avg(delay) OVER carrier_departed_1h   AS carrier_dep_delay_1h,
  avg(delay) OVER carrier_departed_3h   AS carrier_dep_delay_3h,
  avg(late)  OVER carrier_departed_3h   AS carrier_dep_late_3h,
  avg(delay) OVER carrier_landed_3h     AS carrier_arr_delay_3h,
  avg(delay) OVER carrier_landed_24h    AS carrier_arr_delay_24h,
  avg(late)  OVER carrier_landed_24h    AS carrier_arr_late_24h,
  avg(delay) OVER hub_departed_3h       AS hub_dep_delay_3h,
  avg(late)  OVER hub_departed_3h       AS hub_dep_late_3h,
  avg(delay) OVER hub_landed_3h         AS hub_arr_delay_3h,
  avg(delay) OVER hub_landed_24h        AS hub_arr_delay_24h,

  -- the destination
  avg(delay) OVER dest_landed_1h        AS dest_arr_delay_1h,
  avg(delay) OVER dest_landed_3h        AS dest_arr_delay_3h,
  avg(late)  OVER dest_landed_3h        AS dest_arr_late_3h,
  avg(delay) OVER dest_landed_24h       AS dest_arr_delay_24h,
  avg(late)  OVER dest_landed_24h       AS dest_arr_late_24h,
  avg(delay) OVER dest_departed_24h     AS dest_dep_delay_24h,

  -- the aircraft
  max(delay)        OVER plane_departed_3h  AS plane_dep_delay_max_3h,
  max(delay)        OVER plane_departed_24h AS plane_dep_delay_max_24h,
  last_value(delay) OVER plane_departed_24h AS plane_dep_delay_last,
  avg(delay)        OVER plane_landed_3h    AS plane_arr_delay_3h,
  avg(delay)        OVER plane_landed_24h   AS plane_arr_delay_24h,
  last_value(delay) OVER plane_landed_24h   AS plane_arr_delay_last,
  (bigint(at) - bigint(last_value(at) OVER plane_departed_24h)) / 60000 AS plane_minutes_since_departure,
  (bigint(at) - bigint(last_value(at) OVER plane_landed_24h)) / 60000   AS plane_minutes_since_landing
FROM announced
LAST JOIN weather ORDER BY weather.observed_at ON announced.origin = weather.origin
WINDOW
  origin_announced_1h  AS (PARTITION BY announced.origin  ORDER BY at ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW),
  origin_announced_3h  AS (PARTITION BY announced.origin  ORDER BY at ROWS_RANGE BETWEEN 3h PRECEDING AND CURRENT ROW),
  carrier_announced_3h AS (PARTITION BY carrier ORDER BY at ROWS_RANGE BETWEEN 3h PRECEDING AND CURRENT ROW),

  origin_departed_1h  AS (UNION departed PARTITION BY announced.origin ORDER BY at ROWS_RANGE BETWEEN 1h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  origin_departed_3h  AS (UNION departed PARTITION BY announced.origin ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  origin_departed_24h AS (UNION departed PARTITION BY announced.origin ORDER BY at ROWS_RANGE BETWEEN 24h PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  origin_landed_1h    AS (UNION landed   PARTITION BY announced.origin ORDER BY at ROWS_RANGE BETWEEN 1h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  origin_landed_3h    AS (UNION landed   PARTITION BY announced.origin ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  origin_landed_24h   AS (UNION landed   PARTITION BY announced.origin ORDER BY at ROWS_RANGE BETWEEN 24h PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),

  carrier_departed_1h AS (UNION departed PARTITION BY carrier ORDER BY at ROWS_RANGE BETWEEN 1h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  carrier_departed_3h AS (UNION departed PARTITION BY carrier ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  carrier_landed_3h   AS (UNION landed   PARTITION BY carrier ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  carrier_landed_24h  AS (UNION landed   PARTITION BY carrier ORDER BY at ROWS_RANGE BETWEEN 24h PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),

  hub_departed_3h AS (UNION departed PARTITION BY announced.origin, carrier ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  hub_landed_3h   AS (UNION landed   PARTITION BY announced.origin, carrier ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  hub_landed_24h  AS (UNION landed   PARTITION BY announced.origin, carrier ORDER BY at ROWS_RANGE BETWEEN 24h PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),

  dest_departed_24h AS (UNION departed PARTITION BY dest ORDER BY at ROWS_RANGE BETWEEN 24h PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  dest_landed_1h    AS (UNION landed   PARTITION BY dest ORDER BY at ROWS_RANGE BETWEEN 1h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  dest_landed_3h    AS (UNION landed   PARTITION BY dest ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  dest_landed_24h   AS (UNION landed   PARTITION BY dest ORDER BY at ROWS_RANGE BETWEEN 24h PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),

  plane_departed_3h  AS (UNION departed PARTITION BY tailnum ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  plane_departed_24h AS (UNION departed PARTITION BY tailnum ORDER BY at ROWS_RANGE BETWEEN 24h PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  plane_landed_3h    AS (UNION landed   PARTITION BY tailnum ORDER BY at ROWS_RANGE BETWEEN 3h  PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW),
  plane_landed_24h   AS (UNION landed   PARTITION BY tailnum ORDER BY at ROWS_RANGE BETWEEN 24h PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW INSTANCE_NOT_IN_WINDOW)
