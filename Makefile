# Every command of this repository, for people and for CI. `make help` lists them.
BIN := .venv/bin
FLINK := .venv-flink/bin
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
unexport PYTHONDONTWRITEBYTECODE  # else every process compiles all modules anew

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long check bench fuzz clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 18

setup:  ## prepare .venv with the driftline command (a second call finds it ready)
	@.ci/setup main

demo: setup  ## real flights through Kafka to a drift dashboard, in the browser
	$(BIN)/driftline demo

test:  ## the tests: real Kafka, real Flink, real Chromium
	@.ci/setup all
# Two files at a time, each process with its own broker: half of the time a test waits. Flink's jobs take both cores by themselves
	$(BIN)/python -m pytest -m "not flink and not long" -n 2 --dist loadfile --no-loadscope-reorder
	$(FLINK)/python -m pytest -m flink

test-long: setup  ## the tests of many minutes: a journey beside an undisturbed one, kills of all that is up, the proof
	$(BIN)/python -m pytest -m long

check: setup  ## style and types: ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup  ## the benchmarks, side by side with the peers
	@.ci/setup flink
	$(BIN)/python -m benchmarks.kernel
	$(BIN)/python -m benchmarks.clients
	$(BIN)/python -m benchmarks.formats
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.nexmark

fuzz: setup  ## the property tests with many more examples
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest --timeout=3600 -m "not broker and not browser and not flink" tests/features tests/sql tests/connectors tests/worker

clean:  ## remove the environments, caches and every project's state in this folder
	rm -rf .venv .venv-flink .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
	find . -name .driftline -type d -prune -exec rm -rf {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
