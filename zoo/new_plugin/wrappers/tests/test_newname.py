"""Families keep their contract inside these wrappers. Add what the wrappers themselves do."""

from __future__ import annotations

import pytest
import torch

import zoo
from zoo import plugins
from zoo.testing.report import check_wrappers


def test_every_family_keeps_its_contract() -> None:
    faults = [each.message for each in check_wrappers("newname") if each.verdict == "mend"]
    assert not faults


def test_calls_are_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert "newname" in plugins.wrapper_names()
    vq = zoo.load("vqgan-f16")
    with caplog.at_level("INFO", "zoo_newname"):
        vq.decode(vq.encode(torch.zeros(1, 3, 128, 128)))
    assert [message.split()[0] for message in caplog.messages] == ["encode", "decode"]
