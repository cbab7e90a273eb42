"""`python -m dashboard FOLDER`: everything is imported and the store opened before the port answers, so that the first paint is quick."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path

from streamlit import config
from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import bootstrap

import dashboard.pages  # noqa: F401 - what the first session would otherwise wait for
from dashboard import actions
from dashboard.desk import opened
from streams.errors import DriftlineError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dashboard", description="The dashboard of one project.")
    parser.add_argument("project", type=Path, help="the project's folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another value for a key of driftline.toml")
    given = parser.parse_args()
    os.environ["DRIFTLINE_PROJECT"] = str(given.project.resolve())
    os.environ["DRIFTLINE_SETTINGS"] = json.dumps(given.set)
    try:
        project, _, _ = opened(given.project)
        threading.Thread(target=actions.warm, args=(project,), name="warm", daemon=True).start()
    except (DriftlineError, OSError) as error:
        print(error, file=sys.stderr)  # the page says it too
    app = str(Path(__file__).with_name("app.py"))
    options = {"server_address": given.host, "server_port": given.port, "server_headless": True, "browser_gatherUsageStats": False}
    config._main_script_path = app  # as `streamlit run` does: the settings beside app.py count
    bootstrap.load_config_options(options)
    # else a first visit to /drift would run pages/drift.py as a script, in place of app.py
    PagesManager.uses_pages_directory = False
    bootstrap.run(app, False, [], options)


if __name__ == "__main__":
    main()
