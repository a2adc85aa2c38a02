"""`zoo eval NAME...`: measure models, compare them, with image codecs too, and fill their cards."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.bulk import absolute
from zoo.errors import RequestError
from zoo.evaluate.into_card import put_into_card
from zoo.evaluate.metric import Metric, table
from zoo.evaluate.side_by_side import comparison

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.evaluate.baselines import Row
    from zoo.evaluate.lossless import Lossless
    from zoo.evaluate.samplers import Sampled

SHEET, COPIES, PLOT, CONTROL = "codecs.png", "copies.png", "samplers.png", "control.png"


@dataclass(frozen=True)
class Report:
    """What `run` found.

    Attributes:
        metrics: in the order asked for, of one model after the other.
        rows: image codecs at the model's bytes; empty unless asked for.
        markdown: the sections with the codecs' tables, as they stand in the card.
        written: files written: the card, the sheet.
        lossless: the model's archive and lossless formats; empty unless asked for.
        samplers: samples by sampler and number of evaluations; empty unless asked for.
    """

    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...] = ()
    markdown: str = ""
    written: tuple[Path, ...] = ()
    lossless: tuple[Lossless, ...] = ()
    samplers: tuple[Sampled, ...] = ()

    def text(self) -> str:
        """Lay everything out for a terminal."""
        models = {each.settings.get("model") for each in self.metrics}
        numbers = comparison(self.metrics) if len(models) > 1 else table(self.metrics)
        numbers = numbers if self.metrics else ""
        parts = [numbers, self.markdown, *(f"wrote {each}" for each in self.written)]
        return "\n\n".join(each for each in parts if each)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "metrics": [each.as_dict() for each in self.metrics],
            "codecs": [each.as_dict() for each in self.rows],
            "lossless": [each.as_dict() for each in self.lossless],
            "samplers": [each.as_dict() for each in self.samplers],
            "written": [str(each) for each in self.written],
        }


def command_line(
    name: str,
    data: str,
    split: str,
    size: int,
    metrics: Sequence[str] | None,
    count: int | None,
    seed: int,
    against: str | None = None,
    request: Mapping[str, Any] | None = None,
) -> str:
    """Give the line that measures the same again."""
    words = ["zoo", "eval", name, "--data", data, "--split", split, "--size", str(size)]
    for each in metrics or ():
        words += ["--metric", each]
    if count is not None:
        words += ["--count", str(count)]
    if seed:
        words += ["--seed", str(seed)]
    if against is not None:
        words += ["--against", against]
    for key, value in (request or {}).items():
        words += ["-c", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def run(
    name: str | os.PathLike[str],
    data: str | None = None,
    split: str = "test",
    size: int | None = None,
    metrics: Sequence[str] | None = None,
    count: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    *,
    device: str | None = None,
    write: bool = False,
    codecs: bool = False,
    lossless: bool = False,
    against: str | None = None,
    copying: bool = False,
    samplers: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    request: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    ray: str | None = None,
) -> Report:
    """Measure a model on a built set.

    A ControlNet is measured by how well what it draws keeps to hints made of the pictures, beside
    its base without it (zoo.evaluate.control), and a sheet is written; by other metrics only if
    they are named.

    Args:
        name: as `zoo.load` takes it.
        data: a set built by `zoo data build`, or a folder of pictures; by default the one that the
            card says it was trained on, or the icons.
        split: "test" or "train".
        size: side of the pictures in pixels; by default the model's own.
        metrics: names out of `zoo.evaluate.GAUGES`; by default those of such a model's card.
        count: pictures, spread evenly over the set; by default all.
        batch_size: pictures at a time.
        seed: for log_prob and samples.
        device: where to run.
        write: put the metrics, and the codecs' table and sheet, into the model's card.
        codecs: also measure JPEG, WebP, AVIF and JPEG XL at the bytes of the model's tokens (of its
            archive, for a model of tokens' probabilities), on at most 200 pictures.
        lossless: also measure the model's lossless archive beside PNG, WebP and JPEG XL, on at most
            1,000 pictures unless `count` says more.
        against: another set, whose pictures the model's log_prob is to tell from `data`'s: AUROC
            of its out-of-distribution scores (zoo.evaluate.out_of_distribution). Other metrics are then
            measured only if they are named.
        copying: also measure how near samples are to the training split of `data`, beside held-out
            pictures (zoo.evaluate.copying), and write a sheet of the nearest pairs. Other metrics are
            then measured only if they are named.
        samplers: also measure samples by each of these samplers in each number of `steps`, and by each weight of
            guidance (zoo.evaluate.samplers), of 256 pictures unless `count` says more; (): those of a usual card.
            Writes a plot. Other metrics are then measured only if they are named.
        steps: of the samplers; by default 5, 10, 25 and 50.
        request: conditions of the model ({"importance": 500}); they stand in the metrics' names.
        out: where the sheet goes if it is not written beside the card.
        ray: "auto" or the address of a Ray cluster that does the model's work; see `zoo.bulk`.

    Returns:
        A Report.

    Raises:
        RequestError: an unknown metric, codecs for a model without tokens, a card that is not ours.
        Unsupported: lossless for a model without conditional probabilities.
        DataError: a set or weights that are not built.
        ZooError: whatever `zoo.load` raises.
    """
    from zoo import hub
    from zoo.data import open_set
    from zoo.evaluate.measure import evaluate, suited
    from zoo.loading import load

    found = hub.resolve(name) if write else None
    if found is not None and found.origin is not None:
        raise RequestError(
            f"{name} is a fetched copy of a hub's repository; its card cannot be written here. "
            "Save it to a folder (`zoo.load(...).save(folder)`) and evaluate that with --write."
        )
    model = load(name, device=device)
    model = model.condition(**request) if request else model
    data = data or usual_set(model.card)
    size = size or model.card.image[-1]
    pictures = suited(open_set(data, split, size), model.card, seed)
    called = _called(pictures, data, size, split)
    line = command_line(str(name), data, split, size, metrics, count, seed, against, request)
    measured = []
    controls = model.family == "controlnet"
    if metrics or (against is None and not copying and samplers is None and not controls):
        spread = None
        if ray is not None:
            from zoo.evaluate.spread import Spread

            own, its = absolute(str(name)), absolute(data)
            spread = Spread(ray, own, request or {}, its, split, size, device)
        measured += evaluate(
            model, pictures, metrics, count, batch_size, seed,
            name=called, command=line, spread_over=spread,
        )  # fmt: skip
    if against is not None:
        from zoo.evaluate.out_of_distribution import outliers

        others, training = open_set(against, split, size), open_set(data, "train", size)
        names = (
            called,
            _called(others, against, size, split),
            _called(training, data, size, "train"),
        )
        measured += outliers(
            model, pictures, others, training, count, batch_size, seed, names=names, command=line
        )
    rows: tuple[Row, ...] = ()
    section, written = "", []
    if codecs:
        beside = Path(out) if out else (found.folder if found else Path()) / SHEET
        from zoo.evaluate.equal_bytes import compare

        rows, section = compare(model, pictures, count, beside, called, f"{line} --codecs")
        written.append(beside)
    if copying:
        from zoo.evaluate.copying import copying as compared

        beside = (Path(out).parent if out else found.folder if found else Path()) / COPIES
        training = suited(open_set(data, "train", size), model.card, seed)
        called_too = _called(training, data, size, "train")
        measured += compared(
            model, pictures, training, count, batch_size, seed,
            names=(called, called_too), command=f"{line} --copying", sheet=beside,
        )  # fmt: skip
        written.append(beside)
    sampled: tuple[Sampled, ...] = ()
    by_samplers = ""
    if samplers is not None:
        from zoo.evaluate.samplers import SAMPLERS, STEPS, by_sampler

        beside = (Path(out).parent if out else found.folder if found else Path()) / PLOT
        more = "".join(f" --sampler {each}" for each in samplers)
        more += "".join(f" --steps {each}" for each in steps or ())
        rows_of, by_samplers = by_sampler(
            model, pictures, count, batch_size, seed, names=tuple(samplers) or SAMPLERS, steps=tuple(steps or STEPS),
            called=called, line=f"{line}{more or ' --samplers'}", path=beside,
        )  # fmt: skip
        sampled = tuple(rows_of)
        written.append(beside)
    if controls:
        from zoo.evaluate.control import control_fidelity

        beside = (Path(out).parent if out else found.folder if found else Path()) / CONTROL
        measured += control_fidelity(
            model, pictures, count, batch_size, seed, name=called, command=line, sheet=beside
        )
        written.append(beside)
    archives: tuple[Lossless, ...] = ()
    beside_lossless = ""
    if lossless:
        from zoo.evaluate.lossless import measured_beside

        found_too, archives, beside_lossless = measured_beside(
            model, pictures, count, batch_size, called, f"{line} --lossless"
        )
        measured += found_too
    if found is not None:
        written.insert(0, put_into_card(found.folder, measured, section, written))
        put_into_card(found.folder, [], beside_lossless, mark="lossless")
        put_into_card(found.folder, [], by_samplers, mark="samplers")
    sections = "\n\n".join(each for each in (section, beside_lossless, by_samplers) if each)
    return Report(tuple(measured), rows, sections, tuple(written), archives, sampled)


def _called(pictures: Any, data: str, size: int, split: str) -> str:
    """What metrics call a set: "icons-128/test"."""
    return f"{getattr(pictures, 'name', Path(data).name)}-{size}/{split}"


def usual_set(card: Card) -> str:
    """The set to measure a model on: what its card says it was trained on, else the icons."""
    from zoo.data.catalogue import ENTRIES

    trained = card.training.data if card.training else ()
    return next((name for name in trained if name in ENTRIES and ENTRIES[name].size), "icons")
