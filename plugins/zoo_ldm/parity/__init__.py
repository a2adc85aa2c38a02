"""Parity cases of latent diffusion: every module here that has `RUNNERS` brings some."""

from __future__ import annotations

import importlib
import pkgutil

from zoo.parity import Runner

RUNNERS: list[Runner] = []
for _info in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name):
    RUNNERS += getattr(importlib.import_module(f"{__name__}.{_info.name}"), "RUNNERS", ())
