"""What `import zoo` and `zoo list` cost: CPU seconds of a fresh process, interpreter included.

The budgets are absolute (0.2 s and 0.4 s), so the bare interpreter and `import torch` are measured in the same rounds
to show what the machine is worth. Neither command may import torch.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from tests.benchmarks.harness import Result
from tests.benchmarks.processes import measure_processes, run_python

BUDGETS = {"import zoo": 0.2, "zoo list": 0.4}
SIDES = {
    "python": ["-c", "pass"],
    "import zoo": ["-c", "import zoo"],
    "zoo list": ["-m", "zoo", "list"],
    "import torch": ["-c", "import torch"],
}
CHECK = """
import sys
import zoo
zoo.list()
print("torch" in sys.modules)
"""


def run(rounds: int) -> Iterator[Result | str]:
    if run_python(["-c", CHECK]).said.strip() != "False":
        raise SystemExit("zoo.list() imported torch")
    _, spent = measure_processes(SIDES, rounds)
    for name, budget in BUDGETS.items():
        cpu = [each.cpu for each in spent[name]]
        median = statistics.median(cpu)
        wall = statistics.median(each.wall for each in spent[name])
        text = f"{median:.3f} s CPU [{min(cpu):.3f} .. {max(cpu):.3f}] (budget {budget} s), wall {wall:.3f} s"
        numbers = {"budget": budget, "cpu_seconds": cpu}
        yield Result(name, "pass" if median <= budget else "MISS", text, numbers)
    for name in ("python", "import torch"):
        cpu = [each.cpu for each in spent[name]]
        text = f"{statistics.median(cpu):.3f} s CPU [{min(cpu):.3f} .. {max(cpu):.3f}]"
        yield Result(name, "info", text, {"cpu_seconds": cpu})
