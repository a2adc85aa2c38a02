"""Push versions, killing each pusher (SIGKILL) at a random time, and push again what did not arrive.

    python killing_pushes.py FOLDER TO ROUNDS SEED    one JSON line a round, as it ends

A version that is there is whole, whatever became of its pusher; one that is not can be pushed.
"""

import json
import os
import random
import signal
import sys
import time

from zoo.hub.pulling import pull
from zoo.hub.remote import versions
from zoo.sharing.pushing import push, target


def timed(folder, to, version):
    """Push; the seconds that it took."""
    began = time.monotonic()
    push(folder, to, version)
    return time.monotonic() - began


def main():
    folder, to, (rounds, seed) = sys.argv[1], sys.argv[2], map(int, sys.argv[3:])
    dice, address = random.Random(seed), target(to)
    usual = timed(folder, to, "0.0.1")
    for index in range(rounds):
        version = f"1.0.{index}"
        child = os.fork()
        if child == 0:
            push(folder, to, version)
            os._exit(0)
        deadline, began = dice.random() * usual, time.monotonic()
        while (taken := time.monotonic() - began) < deadline:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                usual = taken  # it was quicker than those before
                break
            time.sleep(min(0.001, deadline))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        arrived = version in versions(address)
        if not arrived:
            usual = timed(folder, to, version)
        found = pull(f"{to}@{version}")
        facts = {"killed": os.WIFSIGNALED(status), "arrived": arrived, "got": found.card.version}
        print(json.dumps(facts), flush=True)
    print(json.dumps({"versions": list(versions(address))}), flush=True)


if __name__ == "__main__":
    main()
