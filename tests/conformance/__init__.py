"""Published cases of feature SQL, run against the plan and program: `python -m tests.conformance CASES.jsonl --mode batch`."""
