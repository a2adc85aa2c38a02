"""Pull a model again and again, killing the puller (SIGKILL) at random bytes of its largest file.

    python killing.py NAME ROUNDS SEED SIZE    one JSON line a round, as it ends

SIZE is that of the largest file. Everything is imported once; each puller is a fork, so a round
costs its bytes and little else. After each round the whole store is read: a file that has its final
name must be right.
"""

import json
import os
import random
import signal
import sys
import time
from hashlib import sha256

import huggingface_hub  # noqa: F401  before the fork
from huggingface_hub import HfApi, get_hf_file_metadata  # noqa: F401

from zoo.hub.home import home
from zoo.hub.pulling import pull
from zoo.hub.store import card_of, kept
from zoo.sharing.collecting import collect


def wrong():
    """Files of the store that are not what their name or card says."""
    said = {path: path.name for path in (home() / "blobs").glob("??/*")}
    for folder, origin in kept():
        for path, facts in card_of(folder, origin).files.items():
            said[folder / path] = facts.sha256
    return [
        str(path) for path, digest in said.items()
        if sha256(path.read_bytes()).hexdigest() != digest
    ]  # fmt: skip


def sizes():
    """Bytes of each unfinished file."""
    found = []
    for each in (home() / "partial").glob("*.part"):
        try:
            found.append(each.stat().st_size)
        except FileNotFoundError:
            continue
    return found


def main():
    name, (rounds, seed, size) = sys.argv[1], map(int, sys.argv[2:])
    dice = random.Random(seed)
    for _ in range(rounds):
        child = os.fork()
        if child == 0:
            try:
                pull(name)
            except BaseException as error:
                print(json.dumps({"error": repr(error)}), flush=True)
                os._exit(1)
            os._exit(0)
        target = dice.randint(max([-size // 4, *sizes()]), size)
        if dice.random() < 0.25:
            target = size + 1  # let it finish
        if target <= 0:
            time.sleep(dice.random())
        status = None
        while target > 0 and status is None and max([0, *sizes()]) < target:
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None
            time.sleep(0.001)
        if status is None:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        left = sizes()
        done = os.WIFEXITED(status)
        row = {"done": done, "code": os.WEXITSTATUS(status) if done else None, "left": left}
        print(json.dumps({**row, "wrong": wrong()}), flush=True)
        if done:
            collect([name], grace=-1)
    pull(name)
    after = [str(each) for each in (home() / "partial").iterdir()]
    print(json.dumps({"done": True, "code": 0, "left": after, "wrong": wrong()}), flush=True)


if __name__ == "__main__":
    main()
