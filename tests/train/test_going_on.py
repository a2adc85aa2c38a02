"""What stops a run, and how it goes on."""

import dataclasses
import os
import signal

import pytest
import toy
from runs import last, lines, recipe, run, same

from zoo.train import RecipeError, TrainingError, checkpoint, load_recipe, train
from zoo.train.recipe import Data


def test_a_loss_that_is_not_finite_stops_naming_the_step_and_the_checkpoint(tmp_path):
    plan = recipe(objective={"explode_at": 5}, checkpoint_every=2)
    with pytest.raises(TrainingError, match=r"loss of 'coder' is nan at step 5\. .*step-00000004"):
        run(plan, tmp_path)
    assert [checkpoint.steps_of(each) for each in checkpoint.every(tmp_path)] == [2, 4]


@pytest.mark.parametrize("start", [2, 6])  # of the judge: before the signal, after it
def test_a_signal_saves_and_stops_and_the_run_goes_on_in_the_same_bits(tmp_path, caplog, start):
    plan = recipe("toygan", objective={"start": start}, steps=8, ema=0.9, channels_last=True)
    whole = run(plan, tmp_path / "whole")

    def objectives(net, recipe):
        first, second = toy.two_objectives(net, recipe)

        def stop(step):
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        first.after_step = stop
        return [first, second]

    handler = signal.getsignal(signal.SIGTERM)
    family = toy.family("toygan", objectives=objectives)
    train(plan, tmp_path / "run", family=family, data=toy.data())
    assert signal.getsignal(signal.SIGTERM) is handler
    assert "Stopped by SIGTERM after 4 of 8 steps" in caplog.text
    assert checkpoint.steps_of(checkpoint.every(tmp_path / "run")[-1]) == 4
    folder = run(plan, tmp_path / "run")
    for name in ("model", "ema", "modules", "buffers", "optimizer"):
        assert same(last(whole, name), last(folder, name)), name
    assert [line["step"] for line in lines(folder)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_time_budget_stops_with_a_checkpoint(tmp_path):
    folder = run(recipe(steps=100_000, log_every=1000), tmp_path, max_minutes=1e-4)
    assert 1 <= checkpoint.steps_of(checkpoint.every(folder)[-1]) < 100_000


def test_what_may_change_when_a_run_goes_on(tmp_path):
    plan = recipe(steps=2)
    run(plan, tmp_path)
    with pytest.raises(RecipeError, match="already holds a run of 2 steps"):
        run(plan, tmp_path, resume=False)
    other = dataclasses.replace(plan, data=Data(batch=4))
    with pytest.raises(RecipeError, match=r"another recipe: data.batch was 8, is 4\. Take"):
        run(other, tmp_path)
    run(plan, tmp_path, steps=3)
    assert load_recipe(tmp_path).train.steps == 3
    assert load_recipe(tmp_path / "recipe.until-00000002.toml").train.steps == 2
