"""`python dalle_processes.py FOLDER` trains by each FOLDER/NAME.toml into FOLDER/NAME; torchrun gives it processes."""

import sys
from pathlib import Path

import torch

PLAN = """
[model]
family = "dalle"
[model.config]
shape = { width = 16, depth = 2, heads = 2, positions = "axial", rotary = "line", feed = "FEED", shift = true }
grid = [4, 4]
codes = 24
classes = 3
null = true
[data]
batch = 4
[objective]
null = 0.2
[optimizer]
lr = 1e-2
[schedule]
warmup = 2
[output]
dtype = "fp32"
[train]
steps = 6
checkpoint_every = 0
log_every = 1
eval_every = 3
eval_batches = 1
grid_every = 0
"""


class Tokens:
    """Of twelve pictures without pixels; tokens and labels are fixed by the number."""

    name, licences, image = "tokens", ("CC0-1.0",), (3, 16, 16)

    def __len__(self):
        return 12

    def __getitem__(self, index):
        draw = torch.Generator().manual_seed(index)
        return {"tokens": torch.randint(24, (4, 4), generator=draw), "label": index % 3}


def runs(folder):
    from zoo.train import load_recipe, train

    for file in sorted(folder.glob("*.toml")):
        train(load_recipe(file), file.with_suffix(""), data=(Tokens(), Tokens()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    runs(Path(sys.argv[1]))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
