"""Measuring models: metrics on held-out pictures, image codecs at equal bytes, picture sheets.

Likelihoods of several models in one table, out-of-distribution scores, a generative classifier.

`zoo.evaluate.evaluate(model, data)` is `zoo eval`. Names are loaded when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.evaluate.baselines import CODECS, Row, codecs, markdown
    from zoo.evaluate.classifier import Classes, classify
    from zoo.evaluate.command import Report, run
    from zoo.evaluate.control import control_fidelity, edge_f1, mean_iou
    from zoo.evaluate.fidelity import mse, psnr, ssim
    from zoo.evaluate.frechet import Moments, frechet_distance
    from zoo.evaluate.gauge import Batch, Gauge, Reading
    from zoo.evaluate.gauges import GAUGES
    from zoo.evaluate.lossless import FORMATS, Lossless, lossless
    from zoo.evaluate.measure import evaluate
    from zoo.evaluate.metric import Metric, table
    from zoo.evaluate.out_of_distribution import auroc, outliers
    from zoo.evaluate.several import run_all
    from zoo.evaluate.sheets import labelled_sheet, reconstruction_sheet, sheet
    from zoo.evaluate.side_by_side import comparison
    from zoo.evaluate.tokens import Histogram, bytes_needed

_WHERE = {
    "baselines": "CODECS Row codecs markdown",
    "classifier": "Classes classify",
    "command": "Report run",
    "control": "control_fidelity edge_f1 mean_iou",
    "fidelity": "mse psnr ssim",
    "frechet": "Moments frechet_distance",
    "gauge": "Batch Gauge Reading",
    "gauges": "GAUGES",
    "lossless": "FORMATS Lossless lossless",
    "measure": "evaluate",
    "metric": "Metric table",
    "out_of_distribution": "auroc outliers",
    "several": "run_all",
    "side_by_side": "comparison",
    "sheets": "labelled_sheet reconstruction_sheet sheet",
    "tokens": "Histogram bytes_needed",
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names.split()}

__all__ = [
    "CODECS",
    "FORMATS",
    "GAUGES",
    "Batch",
    "Classes",
    "Gauge",
    "Histogram",
    "Lossless",
    "Metric",
    "Moments",
    "Reading",
    "Report",
    "Row",
    "auroc",
    "bytes_needed",
    "classify",
    "codecs",
    "comparison",
    "control_fidelity",
    "edge_f1",
    "evaluate",
    "frechet_distance",
    "labelled_sheet",
    "lossless",
    "markdown",
    "mean_iou",
    "mse",
    "outliers",
    "psnr",
    "reconstruction_sheet",
    "run",
    "run_all",
    "sheet",
    "ssim",
    "table",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'zoo.evaluate' has no attribute {name!r}")
    return getattr(import_module(f"zoo.evaluate.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
