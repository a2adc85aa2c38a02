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
    from zoo.model import Model

SHEET, COPIES = "codecs.png", "copies.png"
SECTION = """\
## Beside image codecs at the same bytes

{count} pictures of {data}, at most {bytes} bytes each. Every codec is at its best: shrunk by 1 to
8, encoded, enlarged again, at the scale and quality with the least LPIPS within the bytes, header
included. The model's bytes are its tokens at log2(codes) bits each, without a header; its weights
are not counted.

{table}

![original, {name} and codecs]({file})

Measured by `{line}`."""
CODEC_COUNT = 200  # pictures; searching scales and qualities takes about a second each


@dataclass(frozen=True)
class Report:
    """What `run` found.

    Attributes:
        metrics: in the order asked for, of one model after the other.
        rows: image codecs at the model's bytes; empty unless asked for.
        markdown: the sections with the codecs' tables, as they stand in the card.
        written: files written: the card, the sheet.
        lossless: the model's archive and lossless formats; empty unless asked for.
    """

    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...] = ()
    markdown: str = ""
    written: tuple[Path, ...] = ()
    lossless: tuple[Lossless, ...] = ()

    def text(self) -> str:
        """Lay everything out for a terminal."""
        models = {each.settings.get("model") for each in self.metrics}
        numbers = table(self.metrics) if len(models) < 2 else comparison(self.metrics)
        parts = [numbers, self.markdown, *(f"wrote {each}" for each in self.written)]
        return "\n\n".join(each for each in parts if each)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "metrics": [each.as_dict() for each in self.metrics],
            "codecs": [each.as_dict() for each in self.rows],
            "lossless": [each.as_dict() for each in self.lossless],
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
    request: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    ray: str | None = None,
) -> Report:
    """Measure a model on a built set.

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
        codecs: also measure JPEG, WebP, AVIF and JPEG XL at the bytes of the model's tokens, on at
            most 200 pictures.
        lossless: also measure the model's lossless archive beside PNG, WebP and JPEG XL, on at most
            1,000 pictures unless `count` says more.
        against: another set, whose pictures the model's log_prob is to tell from `data`'s: AUROC
            of its out-of-distribution scores (zoo.evaluate.out_of_distribution). Other metrics are then
            measured only if they are named.
        copying: also measure how near samples are to the training split of `data`, beside held-out
            pictures (zoo.evaluate.copying), and write a sheet of the nearest pairs. Other metrics are
            then measured only if they are named.
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
    if found is not None and found.source.startswith("hf:"):
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
    if metrics or (against is None and not copying):
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
    archives: tuple[Lossless, ...] = ()
    beside_lossless = ""
    if lossless:
        from zoo.evaluate.lossless import measured_beside

        more, archives, beside_lossless = measured_beside(
            model, pictures, count, batch_size, called, f"{line} --lossless"
        )
        measured += more
    if found is not None:
        written.insert(0, put_into_card(found.folder, measured, section, written))
        put_into_card(found.folder, [], beside_lossless, mark="lossless")
    sections = "\n\n".join(each for each in (section, beside_lossless) if each)
    return Report(tuple(measured), rows, sections, tuple(written), archives)


def _called(pictures: Any, data: str, size: int, split: str) -> str:
    """What metrics call a set: "icons-128/test"."""
    return f"{getattr(pictures, 'name', Path(data).name)}-{size}/{split}"


def usual_set(card: Card) -> str:
    """The set to measure a model on: what its card says it was trained on, else the icons."""
    from zoo.data.catalogue import ENTRIES

    trained = card.training.data if card.training else ()
    return next((name for name in trained if name in ENTRIES and ENTRIES[name].size), "icons")


def compare(
    model: Model, data: Any, count: int | None, path: Path, called: str, line: str
) -> tuple[tuple[Row, ...], str]:
    """Measure codecs and the model on the same pictures; write the sheet, give rows and Markdown.

    Raises RequestError if the model has no tokens, whose bytes are the budget.
    """
    import torch

    from zoo.evaluate.baselines import codecs, markdown
    from zoo.evaluate.fidelity import psnr
    from zoo.evaluate.gauges import codes_of
    from zoo.evaluate.measure import batches, rebuilt
    from zoo.evaluate.sheets import sheet
    from zoo.evaluate.tokens import bytes_needed
    from zoo.images import from_uint8
    from zoo.nn.lpips import LPIPS

    count = min(count or len(data), CODEC_COUNT, len(data))
    net = LPIPS("alex").to(model.device)
    originals, made, distances, spent = [], [], [], 0
    with torch.inference_mode():
        for pictures in batches(data, count, 16):
            back, tokens = rebuilt(model, from_uint8(pictures))
            pair = [
                from_uint8(each.to(model.device)).expand(-1, 3, -1, -1) for each in (back, pictures)
            ]
            distances += net(*pair).tolist()
            originals.append(pictures)
            made.append(back)
            spent = bytes_needed(tokens[0].numel(), codes_of(model.card))
    before, after = torch.cat(originals), torch.cat(made)
    rows = codecs(before, spent, lpips=net)
    net.cpu()
    sheet(before, after, rows, path, model.name, spent, lpips=net)
    own = (model.name, float(spent), float(psnr(before, after).mean()), sum(distances) / count)
    section = SECTION.format(
        count=count, data=called, bytes=spent, name=model.name, file=path.name, line=line,
        table=markdown(rows, [own]),
    )  # fmt: skip
    return tuple(rows), section
