"""The loop, in this process: what a step does and what is written."""

import dataclasses
import json

import pytest
import torch
import toy
from PIL import Image
from runs import QUIET, last, lines, recipe, run, same
from torch import nn
from torch.nn import functional as F

from zoo.errors import DataError, PluginError
from zoo.hookspecs import hookimpl
from zoo.train import Objective, RecipeError, checkpoint, load_recipe, train
from zoo.train.recipe import Optimizer, Schedule
from zoo.train.schedule import scale
from zoo.train.work import Work, divided, optimize, sow, tasks


def test_a_run_learns_and_tells(tmp_path):
    plan = recipe(steps=60, log_every=10, grid_every=30, eval_every=30, eval_batches=2, ema=0.9)
    state = torch.random.get_rng_state()
    folder = run(plan, tmp_path / "run")
    assert torch.equal(state, torch.random.get_rng_state())  # the caller's generator
    logged = [line for line in lines(folder) if "coder/loss" in line]
    assert [line["step"] for line in logged] == [10, 20, 30, 40, 50, 60]
    assert logged[-1]["coder/loss"] < 0.5 * logged[0]["coder/loss"]
    assert {"coder/mae", "coder/lr", "coder/grad_norm", "images_per_s", "memory_mib"} < set(
        logged[0]
    )
    held_out = [line for line in lines(folder) if "eval/coder/loss" in line]
    assert [line["step"] for line in held_out] == [0, 30, 60]
    grids = sorted(path.name for path in (folder / "grids").iterdir())
    assert grids == ["step-00000000.png", "step-00000030.png", "step-00000060.png"]
    with Image.open(folder / "grids" / grids[-1]) as sheet:
        assert sheet.width > 8 * toy.SIZE > 4 * toy.SIZE > sheet.height > 2 * toy.SIZE - 1
    assert json.loads((folder / "run.json").read_text())["licences"] == ["CC0-1.0"]
    assert load_recipe(folder) == plan


def test_the_seed_fixes_the_run(tmp_path):
    plan = recipe(data={"flip": True})
    one, again = run(plan, tmp_path / "one"), run(plan, tmp_path / "again")
    assert same(last(one), last(again))
    seeded = dataclasses.replace(plan, train=dataclasses.replace(plan.train, seed=1))
    assert not same(last(one), last(run(seeded, tmp_path / "other")))


def test_parts_of_a_batch_add_up_to_the_batch(tmp_path):
    family = toy.family()
    batch = {
        "images": torch.stack([row["image"] for row in toy.Pictures(8)]),
        "captions": "abcdefgh",
    }
    halves = divided(batch, 2)
    assert torch.equal(halves[1]["images"], batch["images"][1::2])
    assert [half["captions"] for half in halves] == ["aceg", "bdfh"]

    def objectives(net, recipe):
        def loss(batch, step):
            return F.mse_loss(net.decode(net.encode(batch["images"])), batch["images"]), {}

        return [Objective("coder", list(net.parameters()), loss)]

    family = toy.family(objectives=objectives)
    plan = recipe(config=QUIET)
    whole = train(plan, tmp_path / "whole", family=family, data=toy.data())
    plan = dataclasses.replace(plan, train=dataclasses.replace(plan.train, accumulate=4))
    parts = train(plan, tmp_path / "parts", family=family, data=toy.data())
    for name, value in last(whole).items():
        if name != "mean":  # moves once a part
            torch.testing.assert_close(last(parts)[name], value, rtol=1e-4, atol=1e-5)


def test_two_objectives_are_the_plain_loop(tmp_path):
    """The trainer against the same GAN written out in plain torch."""
    plan = recipe("toygan", QUIET, {"start": 2}, steps=5, clip=0.5, ema=0.9, ema_warmup=False)
    folder = run(plan, tmp_path)

    sow(0, "net")
    net = toy.Coder(**QUIET).train()
    sow(0, "objectives")
    coder, judge = toy.two_objectives(net, {"start": 2})
    optimizers = {}
    for objective in (coder, judge):
        decayed = [p for p in objective.parameters if p.ndim > 1]
        rest = [p for p in objective.parameters if p.ndim < 2]
        groups = [{"params": decayed}, {"params": rest, "weight_decay": 0.0}]
        optimizers[objective.name] = torch.optim.AdamW(
            groups, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
    average = net.middle.weight.detach().clone()
    from zoo.data import batches

    source = batches(toy.Pictures(), 8, 0, 0)
    for step in range(5):
        batch = next(source)
        for objective in (coder, judge)[: 1 if step < 2 else 2]:
            optimizer = optimizers[objective.name]
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 * scale(plan.schedule, step, 5, objective.start)
            sow(0, "step", step, objective.name, 0)
            optimizer.zero_grad()
            objective.loss(batch, step)[0].backward()
            nn.utils.clip_grad_norm_(objective.parameters, 0.5)
            optimizer.step()
        average = 0.9 * average + 0.1 * net.middle.weight.detach()

    assert same(last(folder), net.state_dict())
    written = last(folder, "modules")
    for key, value in judge.module.state_dict().items():
        assert torch.equal(written[f"judge.{key}"], value)
    assert not any(key.startswith("coder.") for key in written)  # a frozen module is not written
    torch.testing.assert_close(last(folder, "ema")["middle.weight"], average)


def test_objectives_find_what_the_one_before_left(tmp_path):
    def objectives(net, recipe):
        other = nn.Linear(1, 1)

        def first(batch, step):
            batch["back"] = net.decode(net.encode(batch["images"]))
            return batch["back"].square().mean(), {}

        def second(batch, step):
            assert batch["back"].shape == batch["images"].shape == (4, 3, 8, 8)
            return other(batch.pop("back").detach().mean()[None]).sum().square(), {}

        return [
            Objective("first", list(net.parameters()), first),
            Objective("second", list(other.parameters()), second, other),
        ]

    family = toy.family(objectives=objectives)
    folder = train(recipe(accumulate=2, steps=2), tmp_path, family=family, data=toy.data())
    assert lines(folder)[-1]["second/loss"] >= 0


def test_bfloat16_stays_near_float32(tmp_path):
    exact = lines(run(recipe(), tmp_path / "fp32"))[-1]["coder/loss"]
    folder = run(recipe(precision="bf16"), tmp_path / "bf16")
    rough = lines(folder)[-1]["coder/loss"]
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.05)
    assert last(folder)["middle.weight"].dtype == torch.float32


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute:UserWarning"
)  # torch 2.15's own, of its input
def test_compiled_children_take_the_same_steps(tmp_path):
    plain = last(run(recipe(steps=2), tmp_path / "plain"))
    compiled = last(run(recipe(steps=2, compile="eager"), tmp_path / "compiled"))
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value)


def test_a_config_that_cannot_be_built_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"'toy' cannot build from \[model\] config: TypeError"):
        run(recipe(config={"widht": 3}), tmp_path)


def test_the_bar_is_for_those_who_watch(tmp_path, capsys, monkeypatch):
    run(recipe(steps=2), tmp_path / "quiet")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("ZOO_PROGRESS", "1")
    run(recipe(steps=2), tmp_path / "watched")
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "coder/loss=" in shown


def test_a_folder_of_pictures_is_trained_on_by_its_path(tmp_path):
    folder = tmp_path / "squares"
    folder.mkdir()
    for index, picture in enumerate(toy.Pictures(60)[i]["image"] for i in range(60)):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
    plan = recipe(data={"name": str(folder), "size": toy.SIZE}, eval_every=3, grid_every=3)
    found = train(plan, tmp_path / "run", family=toy.family())
    assert json.loads((found / "run.json").read_text())["image"] == [3, toy.SIZE, toy.SIZE]
    assert "eval/coder/loss" in lines(found)[-1]


def test_pictures_that_cannot_be_read_stop_the_run(tmp_path):
    class Torn(toy.Pictures):
        def __getitem__(self, index):
            if index == 17:
                raise DataError("picture 17 is torn")
            return super().__getitem__(index)

    with pytest.raises(DataError, match="picture 17 is torn"):
        train(recipe(), tmp_path, family=toy.family(), data=Torn())


def test_the_program_says_what_is_wrong(tmp_path, capsys):
    from zoo.train.__main__ import main

    assert main([str(tmp_path / "none.toml"), "--out", str(tmp_path / "run")]) == 1
    assert "zoo train: There is no recipe at" in capsys.readouterr().err


def test_an_overflow_in_float16_skips_the_step_and_halves_the_scale(tmp_path):
    """Gradients of 1e36 times the scale of 65536 are infinite in float32."""

    def objectives(net, recipe):
        def loss(batch, step):
            error = F.mse_loss(net.decode(net.encode(batch["images"])), batch["images"])
            return error * (1e36 if step == 2 else 1.0), {}

        return [Objective("coder", list(net.parameters()), loss)]

    def trained(steps, precision):
        plan = recipe(steps=steps, precision=precision)
        plan = dataclasses.replace(plan, schedule=Schedule("constant"))
        out = tmp_path / f"{steps}-{precision}"
        return train(plan, out, family=toy.family(objectives=objectives), data=toy.data())

    before, after = trained(2, "fp16"), trained(3, "fp16")
    kept, moved = last(before), last(after)
    assert all(torch.equal(kept[key], moved[key]) for key in kept if key != "mean")
    scales = [checkpoint.read(checkpoint.every(run)[-1])[1]["scaler"] for run in (before, after)]
    assert [each["scale"] for each in scales] == [2.0**16, 2.0**15]
    exact = last(trained(2, "no"))
    for key, value in exact.items():  # AdamW may turn where a gradient is nearly 0, not elsewhere
        assert (kept[key] - value).abs().median() < 1e-4, key


def test_a_batch_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="batch = 8 does not divide among 1 processes times 3"):
        run(recipe(accumulate=3), tmp_path)


def test_vectors_are_not_decayed_and_strays_are_refused():
    net = toy.Coder()
    work = Work(net, toy.one_objective(net, {}), toy.family())
    (task,) = tasks(work, recipe())
    optimize(task, dict(work.named_parameters()))
    decayed, kept = task.optimizer.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.01, 0.0)
    assert {p.ndim for p in decayed["params"]} == {4}
    assert {p.ndim for p in kept["params"]} == {1}
    stray = Objective("stray", [nn.Parameter(torch.ones(1))], lambda batch, step: (None, {}))
    with pytest.raises(PluginError, match=r"'stray' .* names 1 of 1 parameters .*module="):
        tasks(Work(net, [stray], toy.family()), recipe())
    named = dataclasses.replace(recipe(), optimizer=Optimizer(objectives={"codr": Optimizer()}))
    with pytest.raises(RecipeError, match=r"\[optimizer.codr\].* Did you mean 'coder'\?"):
        tasks(work, named)


def test_parameters_of_no_objective_stay_as_they_are(tmp_path):
    def objectives(net, recipe):
        (whole,) = toy.one_objective(net, recipe)
        return [dataclasses.replace(whole, parameters=list(net.outward.parameters()))]

    family = toy.family(objectives=objectives)
    folder = train(recipe(steps=2), tmp_path, family=family, data=toy.data())
    sow(0, "net")
    fresh = toy.Coder().state_dict()
    assert torch.equal(last(folder)["middle.weight"], fresh["middle.weight"])
    assert not torch.equal(last(folder)["outward.weight"], fresh["outward.weight"])


def test_every_module_keeps_the_mode_it_came_in(tmp_path):
    seen = []

    def objectives(net, recipe):
        frozen = nn.Dropout(0.5).eval()

        def loss(batch, step):
            seen.append((net.training, net.inward.training, frozen.training))
            return net.encode(batch["images"]).square().mean(), {}

        return [Objective("coder", list(net.parameters()), loss, frozen)]

    plan = recipe(steps=2, eval_every=1, eval_batches=1)
    train(plan, tmp_path, family=toy.family(objectives=objectives), data=toy.data())
    assert seen == [(False, False, False), *[(True, True, False), (False, False, False)] * 2]


def test_samples_are_shown_by_a_family_that_only_samples(tmp_path):
    def sample(net, count, generator):
        return torch.tanh(net.decode(torch.randn(count, 6, 2, 2, generator=generator)))

    family = toy.family(encode=None, decode=None, sample=hookimpl(sample))
    plan = recipe(steps=1, grid_every=1, grid_count=3)
    folder = train(plan, tmp_path, family=family, data=toy.data())
    with Image.open(folder / "grids" / "step-00000001.png") as sheet:
        assert sheet.height == toy.SIZE
