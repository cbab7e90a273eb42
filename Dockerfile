# `workers` runs every step, the dashboard and the command; `flink` has Apache Flink for the distributed features; `mlflow` a registry.
#   docker build --target workers -t driftline .
#   docker build --target flink -t driftline-flink .
FROM python:3.11-slim AS workers
RUN apt-get update && apt-get install -y --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps -r requirements.lock
COPY pyproject.toml README.md ./
COPY streams streams
COPY connectors connectors
COPY dashboard dashboard
COPY examples examples
RUN pip install --no-cache-dir --no-deps -e . && useradd --create-home driftline && mkdir /project && chown driftline /project
USER driftline
ENV DRIFTLINE_PROJECT=/project DO_NOT_TRACK=1 MLFLOW_DISABLE_TELEMETRY=true PYTHONUNBUFFERED=1
ENTRYPOINT ["driftline"]

FROM python:3.11-slim AS flink
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless libgomp1 || apt-get install -y --no-install-recommends default-jre-headless libgomp1 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements-flink.lock ./
RUN pip install --no-cache-dir --no-deps -r requirements-flink.lock
COPY pyproject.toml README.md ./
COPY streams streams
COPY connectors connectors
COPY dashboard dashboard
COPY examples examples
RUN pip install --no-cache-dir --no-deps -e . && useradd --create-home driftline && mkdir /project /checkpoints && chown driftline /project /checkpoints
USER driftline
ENV DRIFTLINE_PROJECT=/project DO_NOT_TRACK=1 FLINK_HOME=/usr/local/lib/python3.11/site-packages/pyflink FLINK_LOG_DIR=/tmp/flink-log
ENTRYPOINT ["driftline"]

FROM python:3.11-slim AS mlflow
RUN pip install --no-cache-dir mlflow==3.17.2 && mkdir /mlflow
EXPOSE 5000
ENTRYPOINT ["mlflow", "server"]
