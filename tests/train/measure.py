"""What two processes really hold and send in one step: `python measure.py FOLDER` under torchrun.

The first process writes FOLDER/full.json, grads.json, tensor.json: bytes of its parameters, gradients, moments and
averages, and bytes of its share of what collectives move, as a ring moves them.
"""

import json
import sys
from pathlib import Path

import blocks
import torch
import toy
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.data import batches
from zoo.train.parallel import layout
from zoo.train.processes import left_alone, processes
from zoo.train.recipe import Data, Model, Recipe, Train
from zoo.train.run import Run
from zoo.train.shards import local
from zoo.train.start import build


class Sent(TorchDispatchMode):
    """Adds up the bytes that a ring of two sends: half of what is gathered or scattered."""

    def __init__(self):
        super().__init__()
        self.bytes = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        if name.startswith(("c10d::", "_c10d_functional::")):
            flat = torch.utils._pytree.tree_leaves((args, kwargs))
            sizes = [each.nbytes for each in flat if isinstance(each, torch.Tensor)]
            if sizes:
                self.bytes.setdefault(name, []).append(max(sizes))
        return func(*args, **(kwargs or {}))


class Silent:
    """A report that keeps nothing."""

    def watch(self, *_):
        pass

    def add(self, *_):
        pass


def bytes_of(tensors):
    return sum(local(each).nbytes for each in tensors)


def measured(**settings):
    recipe = Recipe(
        model=Model("blocks"), data=Data(batch=4), train=Train(ema=0.9, clip=0, **settings)
    )
    accelerator = processes(recipe)
    where = layout(recipe, accelerator)
    with left_alone(accelerator):
        net, _ = build(recipe, blocks.family(), fresh=True)
        run = Run(recipe, where, blocks.family(), net)
        (task,) = run.tasks
        seen = {}

        def before(*_):
            seen["gradients"] = bytes_of(p.grad for p in run.parameters.values())

        task.optimizer.register_step_pre_hook(before)
        batch = run.place(next(batches(toy.Pictures(), 4, 0, 0, where.rank, where.world)))
        with Sent() as sent:
            run.turn(task, [batch], 0, Silent())
    slots = [v for each in task.optimizer.state.values() for k, v in each.items() if k != "step"]
    return {
        "parameters": bytes_of(run.parameters.values()),
        **seen,
        "moments": bytes_of(slots),
        "averages": bytes_of(run.ema.shadow.values()),
        "collectives": sent.bytes,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for name, settings in {
        "full": {"shard": "full"},
        "grads": {"shard": "grads"},
        "tensor": {"shard": "full", "tensor": 2},
    }.items():
        found = measured(**settings)
        if torch.distributed.get_rank() == 0:
            (folder / f"{name}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()
