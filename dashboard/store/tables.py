"""The tables of the store. Rows carry milliseconds since the epoch, UTC; `body` is the record as it stands in the topic."""

from __future__ import annotations

LAYOUT = 3  # a store of another layout is thrown away and read anew

DDL = """
CREATE TABLE meta (name VARCHAR PRIMARY KEY, value VARCHAR);
CREATE TABLE positions (topic VARCHAR, part INT, next BIGINT, PRIMARY KEY (topic, part));

CREATE TABLE ends (noted BIGINT, topic VARCHAR, n BIGINT);
CREATE TABLE commits (noted BIGINT, step VARCHAR, n BIGINT);
CREATE TABLE taken (step VARCHAR PRIMARY KEY, n BIGINT, noted BIGINT);
CREATE TABLE reached (step VARCHAR, topic VARCHAR, part INT, next BIGINT, noted BIGINT, span BIGINT, PRIMARY KEY (step, topic, part));

CREATE TABLE dead_letters (part INT, pos BIGINT, noted BIGINT, source VARCHAR, reason VARCHAR, value VARCHAR);
CREATE TABLE late (part INT, pos BIGINT, noted BIGINT, place VARCHAR, time BIGINT, behind_ms BIGINT, missed VARCHAR);

CREATE TABLE feature_rows (part INT, pos BIGINT, event_part INT, event_pos BIGINT, time BIGINT, body VARCHAR);

CREATE TABLE predictions (
    prediction_id VARCHAR, label_key VARCHAR, score DOUBLE, prediction BOOL, model VARCHAR, version INT, time BIGINT,
    predicted_at BIGINT, features_partition INT, features_offset BIGINT, plan VARCHAR);
CREATE TABLE scores (
    hour BIGINT, version INT, bin INT, n BIGINT, positive BIGINT, score DOUBLE, newest BIGINT, wall BIGINT,
    PRIMARY KEY (hour, version, bin));

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
"""
