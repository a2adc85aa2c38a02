"""Sampling token by token: width 512, depth 8, 256 + 256 tokens of 8,192 codes, against DALLE-pytorch and transformers.

Equal architecture and equal weights against DALLE-pytorch (GEGLU, LayerScale, no biases of queries, keys and values,
learned places; its rotary embedding and token shift off), whose logits must be ours. `forward(cache=)` is what it can
do; `generate_images(use_cache=True)` is what its page says, where its default guidance of 1 drops the cache, so that
every token is a pass over everything. Equal size against transformers' GPT-2 `generate`, of 8,192 ids for words and
codes alike, with ours in gelu and with biases, so that weights and logits are equal too. All draw among the 32
likeliest.

All sides draw the same number of tokens after the 257 positions of the prompt, which are in the time: a whole picture's
at batch 1, a quarter of it at 16, where that is long enough. DALLE-pytorch's default, one pass a token, is timed on few
at mid-picture. The floor is the product of one vector with as many bytes of weights as a token reads, in matrices of
the net's shapes, measured by turns with the rest; of 16 pictures with a prompt each, whose keys and values are twice as
many bytes as the weights, attention to those besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.harness import Result, agree, measure
from tests.benchmarks.peers import dalle_pytorch, peer
from zoo_dalle.choosing import Choice
from zoo_dalle.stepping import Stepper, straight
from zoo_dalle.transformer import Shape, Transformer

WIDTH, DEPTH, HEADS, TEXT, SIDE, CODES, WORDS = 512, 8, 8, 256, 16, 8192, 10_000
TOKENS = {1: 256, 16: 64}  # batch -> drawn after the prompt, of 256; all sides the same
TOP_K = 32
CACHED, DEFAULT, GENERATE, FLOOR, EIGHT_BITS = 2.0, 25.0, 1.3, 0.75, 1.3


class Net(nn.Module):
    """Embeddings, places and a head around a transformer."""

    def __init__(self, shape: Shape, prefix: int, words: int, bias: bool) -> None:
        super().__init__()
        self.transformer = Transformer(shape, prefix, (SIDE, SIDE))
        self.words, self.codes = nn.Embedding(words, WIDTH), nn.Embedding(CODES, WIDTH)
        self.places = nn.Parameter(torch.empty(prefix + SIDE * SIDE, WIDTH))
        self.head = nn.Linear(WIDTH, CODES, bias)

    def prompt(self, words: Tensor) -> Tensor:
        return self.words(words) + self.places[: words.shape[1]]

    def draw(self, words: Tensor, weights: str = "float") -> Tensor:
        """(B, TOKENS[B]) codes; what `zoo_dalle.drawing` does at each step."""
        count = TOKENS[len(words)]
        memory, stepper = self.transformer.memory(len(words)), Stepper(self.transformer, weights)
        head = straight(self.head, weights)
        hidden = self.transformer.extend(self.prompt(words), memory)[:, -1:]
        choice, uniforms = Choice(top_k=TOP_K), torch.rand(len(words), count)
        codes = torch.empty(len(words), count, dtype=torch.int64)
        for k in range(count):
            codes[:, k] = choice.draw(head(hidden)[:, 0], uniforms[:, k])
            if k + 1 < count:
                x = self.codes(codes[:, k : k + 1]) + self.places[memory.count]
                hidden = stepper.step(x, memory)
        return codes

    def logits(self, words: Tensor, codes: Tensor, weights: str = "float") -> Tensor:
        """Of each code (B, n, K), by steps."""
        memory, stepper = self.transformer.memory(len(words)), Stepper(self.transformer, weights)
        hidden = [self.transformer.extend(self.prompt(words), memory)[:, -1:]]
        for k in range(codes.shape[1] - 1):
            x = self.codes(codes[:, k : k + 1]) + self.places[memory.count]
            hidden.append(stepper.step(x, memory))
        return straight(self.head, weights)(torch.cat(hidden, 1))

    def whole(self, words: Tensor, codes: Tensor) -> Tensor:
        """The same in one pass."""
        image = self.codes(codes[:, :-1]) + self.places[words.shape[1] :][: codes.shape[1] - 1]
        hidden = self.transformer(torch.cat([self.prompt(words), image], 1))
        return self.head(hidden[:, words.shape[1] - 1 :])


@torch.inference_mode()
def run(rounds: int) -> Iterator[Result | str]:
    torch.manual_seed(0)
    theirs, ours = _dalle(), Net(_dalle_shape(), TEXT + 1, WORDS + TEXT, True)
    ours.load_state_dict(_from_dalle(theirs.state_dict(), ours))
    ours.eval()
    gpt, like_gpt = _gpt(), Net(Shape(WIDTH, DEPTH, HEADS), TEXT + 1, CODES, False)
    like_gpt.load_state_dict(_from_gpt(gpt.state_dict(), like_gpt))
    like_gpt.eval()
    for batch in (1, 16):
        text = torch.randint(1, CODES, (batch, TEXT))
        words = nn.functional.pad(text, (1, 0))  # DALLE-pytorch's begin is word 0
        codes = torch.randint(CODES, (batch, 8))
        found = ours.logits(words, codes)
        wanted = theirs(text, codes)[:, TEXT:, WORDS + TEXT :][:, : codes.shape[1]]
        yield agree(f"logits, batch {batch}, and DALLE-pytorch's", found, wanted, 1e-4)
        yield agree("logits cached and not", found, ours.whole(words, codes), 1e-5)
        yield _rounded(found, ours.logits(words, codes, "int8"))
        found = like_gpt.logits(words, codes)
        wanted = gpt(torch.cat([words, codes], 1)).logits[:, TEXT:-1]
        yield agree("logits and transformers'", found, wanted, 1e-4)
        yield from _compare(batch, rounds, theirs, ours, gpt, like_gpt, text, words)


def _compare(
    batch: int,
    rounds: int,
    theirs: Any,
    ours: Net,
    gpt: Any,
    like_gpt: Net,
    text: Tensor,
    words: Tensor,
) -> Iterator[Result]:
    name = f"{TOKENS[batch]} tokens after 257, batch {batch}"
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: ours.draw(words),
        "ours, int8": lambda: ours.draw(words, "int8"),
        "DALLE-pytorch cached": lambda: _cached(theirs, text),
        "ours like GPT-2": lambda: like_gpt.draw(words),
        "transformers generate": lambda: _generate(gpt, words),
    }
    found = measure(sides, rounds)
    yield found.judge(name, "ours", "DALLE-pytorch cached", CACHED)
    yield found.judge(f"{name}, int8", "ours, int8", "DALLE-pytorch cached", CACHED)
    yield found.judge(name, "ours like GPT-2", "transformers generate", GENERATE)
    part = {
        "a token": _decode(ours, words),
        "a token, int8": _decode(ours, words, "int8"),
        "vectors": _floor(ours, batch),
        "keys and values": _read(ours, batch),
        "all that is read": _both(_floor(ours, batch), _read(ours, batch)),
    }
    if batch == 1:
        codes = torch.randint(CODES, (1, SIDE * SIDE // 2))
        part["DALLE-pytorch default"] = lambda: theirs.forward_with_cond_scale(
            text, codes, cond_scale=1
        )
    steps = measure(part, rounds)
    if batch == 1:
        default = "DALLE-pytorch default"
        yield steps.judge("a token at mid-picture", "a token", default, DEFAULT)
        yield steps.judge("a token at mid-picture, int8", "a token, int8", default, DEFAULT)
    floor = "vectors" if batch == 1 else "all that is read"
    yield steps.judge(f"share of the floor, batch {batch}", "a token", floor, FLOOR)
    yield steps.judge(f"int8 weights, batch {batch}", "a token, int8", "a token", EIGHT_BITS)
    bytes_read = _weights(ours)
    prefill = min(found.wall["ours"]) - TOKENS[batch] * min(steps.wall["a token"])
    yield Result(
        f"steady decoding, batch {batch}",
        "info",
        f"{min(steps.wall['a token']) * 1e3:.1f} ms a token of {batch} at mid-picture, about {prefill * 1e3:.0f} ms "
        f"for the prompt; {bytes_read / 1e6:.1f} MB of weights a token, which alone take "
        f"{min(steps.wall['vectors']) * 1e3:.1f} ms ({bytes_read / min(steps.wall['vectors']) / 1e9:.1f} GB/s), and as "
        f"much attention to keys and values alone {min(steps.wall['keys and values']) * 1e3:.1f} ms",
        {"bytes": bytes_read, "seconds_a_token": min(steps.wall["a token"])},
    )


def _rounded(exact: Tensor, rounded: Tensor) -> Result:
    """How far weights of 8 bits move the distributions: Kullback and Leibler's divergence, nats a token."""
    p, q = exact.double().log_softmax(-1), rounded.double().log_softmax(-1)
    nats = float((p.exp() * (p - q)).sum(-1).mean())
    return Result("int8 weights", "info", f"{nats:.1e} nats a token away", {"nats": nats})


def _decode(net: Net, words: Tensor, weights: str = "float") -> Callable[[], object]:
    """One token at mid-picture, drawn and read, again and again."""
    memory = net.transformer.memory(len(words))
    net.transformer.extend(net.prompt(words), memory)
    half = torch.randint(CODES, (len(words), SIDE * SIDE // 2))
    places = net.places[words.shape[1] :][: half.shape[1]]
    hidden = net.transformer.extend(net.codes(half) + places, memory)[:, -1:]
    choice, uniform, count = Choice(top_k=TOP_K), torch.rand(len(words)), memory.count
    stepper, head = Stepper(net.transformer, weights), straight(net.head, weights)

    def step() -> Tensor:
        memory.count = count
        code = choice.draw(head(hidden)[:, 0], uniform)
        return stepper.step(net.codes(code[:, None]) + net.places[count], memory)

    return step


def _weights(net: Net) -> int:
    """Bytes of weights that one token reads: all but embeddings and places."""
    return sum(each.nbytes for each in (*net.transformer.parameters(), *net.head.parameters()))


def _floor(net: Net, batch: int) -> Callable[[], object]:
    """Every matrix of the net times as many vectors as a step has, and nothing else."""
    layers = [each.weight for each in net.modules() if isinstance(each, nn.Linear)]
    inputs = {weight.shape[1]: torch.randn(batch, weight.shape[1]) for weight in layers}

    def vectors() -> None:
        for weight in layers:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    return vectors


def _read(net: Net, batch: int) -> Callable[[], object]:
    """Attention of one position to those of half a picture, layer by layer, and nothing else."""
    layers = net.transformer.memory(batch).layers
    length, query = TEXT + 1 + SIDE * SIDE // 2, torch.randn(batch, HEADS, 1, WIDTH // HEADS)

    def attend() -> None:
        for each in layers:
            torch.nn.functional.scaled_dot_product_attention(
                query, each.keys[:, :, :length], each.values[:, :, :length]
            )

    return attend


def _both(*calls: Callable[[], object]) -> Callable[[], object]:
    return lambda: [call() for call in calls]


def _dalle_shape() -> Shape:
    return Shape(WIDTH, DEPTH, HEADS, feed="geglu", bias_qkv=False, layer_scale=True)


def _dalle() -> Any:
    package = dalle_pytorch()
    vae = package.DiscreteVAE(
        image_size=256, num_layers=4, num_tokens=CODES, codebook_dim=8, hidden_dim=8
    )
    return package.DALLE(
        dim=WIDTH, vae=vae, num_text_tokens=WORDS, text_seq_len=TEXT, depth=DEPTH, heads=HEADS,
        dim_head=WIDTH // HEADS, shift_tokens=False, rotary_emb=False,
    ).eval()  # fmt: skip


def _cached(model: Any, text: Tensor) -> Tensor:
    """DALLE-pytorch's own cache, as its generate_images would use it."""
    sample, top_k = dalle_pytorch().gumbel_sample, dalle_pytorch().top_k
    cache: dict[str, Any] = {}
    image = torch.empty(len(text), 0, dtype=torch.int64)
    for _ in range(TOKENS[len(text)]):
        logits = model(text, image, cache=cache)[:, -1, :]
        drawn = sample(top_k(logits, thres=1 - TOP_K / logits.shape[-1])) - (WORDS + TEXT)
        image = torch.cat([image, drawn[:, None]], -1)
    return image


def _from_dalle(state: dict[str, Tensor], net: Net) -> dict[str, Tensor]:
    """DALLE-pytorch's weights under our names."""
    laid = {
        "words.weight": state["text_emb.weight"],
        "codes.weight": state["image_emb.weight"],
        "head.weight": state["to_logits.1.weight"][WORDS + TEXT :],
        "head.bias": state["to_logits.1.bias"][WORDS + TEXT :],
        "transformer.norm.weight": state["to_logits.0.weight"],
        "transformer.norm.bias": state["to_logits.0.bias"],
    }
    rows, columns = (state[f"image_pos_emb.weights.{axis}"].view(SIDE, WIDTH) for axis in (0, 1))
    image = (rows[:, None] + columns).flatten(0, 1)
    laid["places"] = torch.cat([state["text_pos_emb.weight"], image])
    names = {
        "norm.weight": "norm_{}.weight",
        "norm.bias": "norm_{}.bias",
        "to_qkv.weight": "attention.qkv.weight",
        "to_out.0.weight": "attention.out.weight",
        "to_out.0.bias": "attention.out.bias",
        "net.0.weight": "feed.up.weight",
        "net.0.bias": "feed.up.bias",
        "net.3.weight": "feed.down.weight",
        "net.3.bias": "feed.down.bias",
    }
    for name, value in state.items():
        if not name.startswith("transformer.layers.layers."):
            continue
        layer, half = name.split(".")[3:5]
        part = ("attention", "feed")[int(half)]
        if name.endswith(".scale"):
            laid[f"transformer.blocks.{layer}.scale_{part}"] = value.flatten()
        else:
            ours = next(ours for end, ours in names.items() if name.endswith(f".{end}"))
            laid[f"transformer.blocks.{layer}.{ours.format(part)}"] = value
    return laid


def _gpt() -> Any:
    package = peer("transformers")
    package.logging.set_verbosity_error()
    config = package.GPT2Config(
        vocab_size=CODES, n_positions=TEXT + 1 + SIDE * SIDE, n_embd=WIDTH, n_layer=DEPTH, n_head=HEADS,
        activation_function="gelu", bos_token_id=0, eos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    return package.GPT2LMHeadModel(config).eval()


def _generate(model: Any, words: Tensor) -> Tensor:
    return model.generate(
        words,
        attention_mask=torch.ones_like(words),
        max_new_tokens=TOKENS[len(words)],
        do_sample=True,
        top_k=TOP_K,
        pad_token_id=0,
    )


def _from_gpt(state: dict[str, Tensor], net: Net) -> dict[str, Tensor]:
    """GPT-2's weights under our names; its linear layers are transposed."""
    laid = {
        "words.weight": state["transformer.wte.weight"],
        "codes.weight": state["transformer.wte.weight"],
        "places": state["transformer.wpe.weight"],
        "head.weight": state["lm_head.weight"],
        "transformer.norm.weight": state["transformer.ln_f.weight"],
        "transformer.norm.bias": state["transformer.ln_f.bias"],
    }
    names = {
        "ln_1": "norm_attention",
        "ln_2": "norm_feed",
        "attn.c_attn": "attention.qkv",
        "attn.c_proj": "attention.out",
        "mlp.c_fc": "feed.up",
        "mlp.c_proj": "feed.down",
    }
    for layer in range(DEPTH):
        for theirs, ours in names.items():
            for kind in ("weight", "bias"):
                value = state[f"transformer.h.{layer}.{theirs}.{kind}"]
                turned = value.T if value.ndim == 2 else value
                laid[f"transformer.blocks.{layer}.{ours}.{kind}"] = turned.contiguous()
    return laid
