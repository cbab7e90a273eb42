"""python -m tests.conformance CASES.jsonl --mode batch|stream [--json] [--select TEXT] [--verbose]

Prints how many cases passed, failed, were refused (rightly) or accepted (wrongly), by category, and the ids of those that are wrong.
Exit status 1 where a confirmed case fails.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

from tests.conformance.cases import read
from tests.conformance.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--mode", choices=("batch", "stream"), default="batch")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--select", default="", help="only ids that contain this")
    parser.add_argument("--verbose", action="store_true", help="what was met, for each wrong case")
    options = parser.parse_args()
    results = [run(case, options.mode) for case in read(options.cases) if options.select in case.id]
    total = Counter(result.state for result in results)
    by_category: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        by_category[result.case.category][result.state] += 1
    failed = [result for result in results if result.state == "failed"]
    accepted = [result for result in results if result.state == "accepted"]
    confirmed = [result.case.id for result in failed if result.case.confirmed]
    states = ("passed", "failed", "refused", "accepted", "skipped")
    if options.json:
        print(
            json.dumps(
                {
                    "mode": options.mode,
                    **{state: total[state] for state in states},
                    "categories": {name: dict(counts) for name, counts in sorted(by_category.items())},
                    "failing": {result.case.id: result.detail for result in failed},
                    "wrongly_accepted": [result.case.id for result in accepted],
                    "confirmed_failing": confirmed,
                },
                indent=2,
            )
        )
    else:
        print(f"mode {options.mode}: " + ", ".join(f"{state} {total[state]}" for state in states))
        for name, counts in sorted(by_category.items()):
            print(f"  {name:24}" + "  ".join(f"{state} {counts[state]:4}" for state in states if counts[state]))
        for result in [*failed, *accepted]:
            print(f"{result.state} {result.case.id}" + (f"\n    {result.detail[:600]}" if options.verbose else ""))
    return 1 if confirmed else 0


if __name__ == "__main__":
    raise SystemExit(main())
