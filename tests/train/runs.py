"""Small runs of the toy families, and what they left in their folders."""

import json

import torch
import toy
from safetensors.torch import load_file

from zoo.train import checkpoint, train
from zoo.train.recipe import Data, Model, Optimizer, Recipe, Schedule, Train

QUIET = {"dropout": 0.0}


def recipe(family="toy", config=None, objective=None, data=None, **settings):
    settings = {"steps": 6, "checkpoint_every": 0, "log_every": 1, **settings}
    return Recipe(
        model=Model(family, config=config or {}),
        data=Data(batch=8, **(data or {})),
        objective=objective or {},
        optimizer=Optimizer(lr=1e-2),
        schedule=Schedule(warmup=2),
        train=Train(**settings),
    )


def run(given, out, **options):
    return train(given, out, family=toy.family(given.model.family), data=toy.data(), **options)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def last(folder, name="model"):
    return load_file(checkpoint.every(folder)[-1] / f"{name}.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
