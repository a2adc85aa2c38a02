"""A Ray cluster on this machine: a head that does no work, and two workers, one of which dies.

`python cluster.py MODEL DATA FOLDER` under a PYTHONPATH with this folder. FOLDER/report.json says what came of it.
"""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import bulk
from zoo.data.encoding import Encoding, Span, encode_set

UNITS = [Span("train", 0, first, first + 1) for first in range(12)]
FATAL = 5  # the unit in whose middle a machine is lost
QUICK = {  # how soon the others see that it is
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "300",
    "RAY_health_check_failure_threshold": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True)
class Deadly:
    """A job that takes its machine with it, once."""

    job: Any
    marker: str

    def open(self):
        work = self.job.open()

        def deadly(unit):
            if unit.first == FATAL and not Path(self.marker).exists():
                Path(self.marker).write_text(f"{os.getppid()} {os.getpid()}")
                os.kill(os.getppid(), signal.SIGKILL)  # Ray's own process of that machine
                os.kill(os.getpid(), signal.SIGKILL)
            return work(unit)

        return deadly


def main(model, data, folder):
    os.environ.update(QUICK)
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": 80 << 20, "include_dashboard": False},
    )
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
        job = Encoding(model, data, 16, False, None, None)
        lossy = Deadly(job, str(folder / "died"))
        found = list(bulk.run(lossy, UNITS, ray=cluster.address))
        about = encode_set(
            model, data, folder / "tokens", splits=("train",), batch=4, per_shard=8,
            ray=cluster.address,
        )  # fmt: skip
        report = {
            "died": (folder / "died").read_text(),
            "tokens": [[row.tokens.tolist() for row in rows] for rows in found],
            "counts": about["counts"],
        }
        (folder / "report.json").write_text(json.dumps(report))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    import cluster  # workers find what is pickled by this name, not as __main__

    cluster.main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
