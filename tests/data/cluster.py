"""A Ray cluster of two workers on this machine, one of which is killed while it encodes a set.

`python cluster.py MODEL DATA FOLDER` under a PYTHONPATH with this folder writes FOLDER/tokens, and FOLDER/died: the
process that was killed.
"""

import os
import signal
import sys
from pathlib import Path

from zoo.data import encoding

FATAL = 8  # the first picture of the unit in whose middle a worker is killed


class Deadly(encoding.Encoding):
    """The job, by a process that kills itself once, as one that is out of memory is killed."""

    def __reduce__(self):
        return Deadly, super().__reduce__()[1]

    def open(self):
        work, marker = super().open(), Path(os.environ["DIED"])

        def deadly(span):
            if span.first == FATAL and not marker.exists():
                marker.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            return work(span)

        return deadly


def main(model, data, folder):
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "DIED": str(folder / "died")}
    os.environ |= {"RAY_worker_niceness": "0"}  # Ray's 15 is a standstill on a busy core
    from ray.cluster_utils import Cluster

    two = {"num_cpus": 2, "object_store_memory": 160 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=two)
    encoding.Encoding = Deadly
    try:
        encoding.encode_set(
            model, data, folder / "tokens", splits=("train",), batch=4, per_shard=8,
            ray=cluster.address,
        )  # fmt: skip
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    import cluster  # workers find what is pickled by this name, not as __main__

    cluster.main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
