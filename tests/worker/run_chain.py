"""`python -m tests.worker.run_chain FOLDER`: runs the chain step of a project as `driftline run` would, to be killed by tests."""

import faulthandler
import signal
import sys

from streams import pipeline
from streams.project import load_project
from streams.worker.app import run_steps

if __name__ == "__main__":
    faulthandler.register(signal.SIGRTMIN)
    pipeline.DRIVEN = {"chain": "tests.worker.steps"}
    run_steps(load_project(sys.argv[1]), ["chain"])
