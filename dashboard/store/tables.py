"""The tables of the store. Rows carry milliseconds since the epoch, UTC; `body` is the record as it stands in the topic."""

from __future__ import annotations

LAYOUT = 6  # a store of another layout is thrown away and read anew

HOUR = 3_600_000
CLIP = 1e-15  # of a probability in the log loss
_P = f"greatest({CLIP}, least(1 - {CLIP}, score))"

# what one outcome adds to the sums of `quality`
MEASURES = f"""(label IS NOT NULL)::INT AS labelled, (state = 'never')::INT AS never, coalesce(label, false)::INT AS positive,
    CASE WHEN label IS NULL THEN 0 ELSE {_P} END AS predicted,
    CASE WHEN label THEN -ln({_P}) WHEN NOT label THEN -ln(1 - {_P}) ELSE 0 END AS log_loss,
    coalesce(pow({_P} - label::INT, 2), 0) AS brier"""


def _by_spell(rollup: str, columns: str, rows: str, measures: str) -> str:
    """A roll-up by hour, with the spell: rows of an hour in which a version came back are looked at one by one."""
    back = f"(SELECT since // {HOUR} * {HOUR} FROM spells WHERE since = starts)"
    return f"""
CREATE VIEW {rollup}_by_spell AS SELECT number AS spell, sums.* FROM (
    SELECT hour AS time, version, {columns} FROM {rollup} WHERE hour NOT IN {back}
    UNION ALL SELECT time, version, {measures} FROM {rows} WHERE score IS NOT NULL AND version IS NOT NULL AND time // {HOUR} * {HOUR} IN {back}
) sums ASOF JOIN spells ON sums.version = spells.version AND sums.time >= spells.starts;
"""


DDL = f"""
CREATE TABLE meta (name VARCHAR PRIMARY KEY, value VARCHAR);
CREATE TABLE positions (topic VARCHAR, part INT, next BIGINT, PRIMARY KEY (topic, part));

CREATE TABLE ends (noted BIGINT, topic VARCHAR, n BIGINT);
CREATE TABLE commits (noted BIGINT, step VARCHAR, topic VARCHAR, n BIGINT);
CREATE TABLE taken (step VARCHAR, topic VARCHAR, n BIGINT, noted BIGINT, PRIMARY KEY (step, topic));
CREATE TABLE reached (step VARCHAR, topic VARCHAR, part INT, next BIGINT, noted BIGINT, PRIMARY KEY (step, topic, part));

CREATE TABLE dead_letters (part INT, pos BIGINT, noted BIGINT, source VARCHAR, reason VARCHAR, value VARCHAR);
CREATE TABLE late (part INT, pos BIGINT, noted BIGINT, place VARCHAR, time BIGINT, behind_ms BIGINT, missed VARCHAR);

CREATE TABLE feature_rows (part INT, pos BIGINT, event_part INT, event_pos BIGINT, time BIGINT, body VARCHAR);

CREATE TABLE predictions (
    prediction_id VARCHAR, label_key VARCHAR, score DOUBLE, prediction BOOL, model VARCHAR, version INT, time BIGINT,
    predicted_at BIGINT, features_partition INT, features_offset BIGINT, plan VARCHAR);
CREATE TABLE scores (
    hour BIGINT, version INT, bin INT, n BIGINT, positive BIGINT, score DOUBLE, newest BIGINT, wall BIGINT,
    PRIMARY KEY (hour, version, bin));

-- the first row of each partition that another version than before scored; `time` is the greatest event time up to it
CREATE TABLE takeovers (part INT, pos BIGINT, version INT, time BIGINT, wall BIGINT);
-- a version that serves again has another spell; rows of a version from `starts` on are of this spell, or of a later one
CREATE VIEW spells AS
    SELECT *, lead(since) OVER (ORDER BY number) AS until,
           CASE WHEN row_number() OVER (PARTITION BY version ORDER BY number) = 1 THEN 0 ELSE since END AS starts
    FROM (SELECT number, any_value(version) AS version, min(time) AS since, min(wall) AS begun
          FROM (SELECT *, count(*) FILTER (other) OVER (ORDER BY wall, time, part) AS number
                FROM (SELECT *, version IS DISTINCT FROM lag(version) OVER (ORDER BY wall, time, part) AS other FROM takeovers))
          GROUP BY number);

CREATE TABLE outcomes (
    prediction_id VARCHAR, label_key VARCHAR, score DOUBLE, prediction BOOL, version INT, time BIGINT, label BOOL,
    label_time BIGINT, state VARCHAR);
CREATE TABLE quality (
    hour BIGINT, version INT, labelled BIGINT, never BIGINT, positive BIGINT, predicted DOUBLE, log_loss DOUBLE, brier DOUBLE,
    newest BIGINT, label_newest BIGINT, PRIMARY KEY (hour, version));

CREATE TABLE checks (
    check_id VARCHAR, kind VARCHAR, starts BIGINT, ends BIGINT, n BIGINT, alarm VARCHAR, reason VARCHAR, body VARCHAR,
    part INT, pos BIGINT);
CREATE TABLE check_features (
    check_id VARCHAR, starts BIGINT, ends BIGINT, feature VARCHAR, reach DOUBLE, adjusted DOUBLE, moved BOOL, ignored BOOL,
    missing DOUBLE, outside DOUBLE, low DOUBLE, middle DOUBLE, high DOUBLE, usual DOUBLE, body VARCHAR);
CREATE TABLE runs (run_id VARCHAR, state VARCHAR, noted BIGINT, as_of BIGINT, version INT, body VARCHAR, part INT, pos BIGINT);
CREATE TABLE deployments (key VARCHAR, version INT, noted BIGINT, body VARCHAR, part INT, pos BIGINT);
{_by_spell("scores", "n, positive, score", "predictions", "1, prediction::INT, score")}
{_by_spell("quality", "labelled, never, positive, predicted, log_loss, brier", "outcomes", MEASURES)}
"""
