"""The command `python -m zoo.parity`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import torch

from zoo import parity
from zoo.parity.published import published


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives the exit status, 0 if every case passes."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo.parity", description=(parity.__doc__ or "").split("\n")[0]
    )
    parser.add_argument("case", nargs="+", help="a case folder, or with --published a key list")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a case, then a summary"
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="the arguments are key lists of published checkpoints",
    )
    options = parser.parse_args(arguments)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    reports = []
    for name in options.case:
        report = published(name) if options.published else parity.check(name)
        print(json.dumps(_plain(report)) if options.json else report, flush=True)
        reports.append(report)
    good = sum(report.ok for report in reports)
    if options.json:
        print(json.dumps({"pass": good, "of": len(reports)}))
    else:
        print(f"{good} of {len(reports)} cases pass")
    return 0 if good == len(reports) else 1


def _plain(report: parity.Report) -> dict[str, Any]:
    lines = [
        {
            "name": line.name,
            "error": line.error,
            "tolerance": line.tolerance,
            "ok": line.ok,
            "note": line.note,
        }
        for line in report.lines
    ]
    return {
        "case": report.case,
        "runner": report.runner,
        "ok": report.ok,
        "error": report.error,
        "lines": lines,
    }


if __name__ == "__main__":
    sys.exit(main())
