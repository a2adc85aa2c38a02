"""Parity cases of variational autoencoders."""

from __future__ import annotations

from zoo.parity import Runner
from zoo_vae.parity.terms import TermsRunner

RUNNERS: list[Runner] = [TermsRunner()]
