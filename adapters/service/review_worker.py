"""The process behind `reviewing`: reviews the policy document that it is given, and tells what it found as one JSON document."""

import json
import sys

from dealgate.adapters.policies import review_text


def main() -> None:
    found = review_text(sys.stdin.read(), sys.argv[1])
    told = found.document()
    for problem, one in zip(found.errors, told["errors"], strict=True):
        one["source_line"] = problem.source_line
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
