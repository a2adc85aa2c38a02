"""From a sentence to pictures, by a text-to-image model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec

from zoo.columns import columns
from zoo.demo.section import SIDE, Missing, Section, embedded

PROMPTS = (
    "noto: red apple",
    "twemoji: house",
    "fluent-emoji-flat: cat",
    "noto: deciduous tree",
)
EACH = 4  # pictures of a prompt


@dataclass(frozen=True)
class Row:
    """One prompt's pictures: the mean of log p a token of them, encoded again, given the prompt, in nats."""

    model: str
    prompt: str
    count: int
    log_p: float
    seconds: float


def asked(name: str | None = None, prompts: tuple[str, ...] = PROMPTS) -> Section | Missing | None:
    """Four pictures of each prompt, side by side in one batch."""
    import zoo
    from zoo.evaluate.captions import takes_text
    from zoo.evaluate.sheets import of_texts

    known = [name] if name else [
        each.card.name for each in embedded("dalle")
        if takes_text(each.card) and "sample" in each.card.hooks
    ]  # fmt: skip
    if not known:
        return None
    if find_spec("tokenizers") is None:
        return Missing(f"To see {known[0]} draw what you ask for: `pip install 'genzoo[text]'`.")
    model = zoo.load(known[0])
    texts = [each for each in prompts for _ in range(EACH)]
    given = model.condition(text=texts)
    begun = time.perf_counter()
    images = given.sample(len(texts), seed=0)
    seconds = time.perf_counter() - begun
    answer = given.log_prob(images)
    log_p = answer.nats.view(len(prompts), EACH).mean(1) / answer.dimensions
    rows = [
        Row(model.card.title, prompt, EACH, float(mean), seconds / len(prompts))
        for prompt, mean in zip(prompts, log_p, strict=True)
    ]
    drawn = f"{len(texts)} pictures of {answer.dimensions} tokens in {seconds:.1f} s"
    title = f"{model.card.title}: asked for in words, {drawn}"
    sheet = of_texts(images, prompts, caption=title, least=SIDE // 2)
    header = ("prompt", "pictures", "log p a token", "seconds")
    lines = [(r.prompt, f"{r.count}", f"{r.log_p:.2f}", f"{r.seconds:.2f}") for r in rows]
    return Section(title, rows, columns(header, lines, right=header[1:]), sheet)
