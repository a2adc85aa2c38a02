"""Checkpoints in CompVis' own names, tiny and drawn at random, for the tests of the family `ldm`."""

import json

import torch
from safetensors.torch import save_file

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "green", "cafe", "house", "app", "##le", "##s", "a", ",",
]  # fmt: skip
LENGTH, WIDTH, INNER = 9, 12, 128
EMPTY = [2, 3, 0, 0, 0, 0, 0, 0, 0]  # the tokens of no text
BERT = {"n_embed": WIDTH, "n_layer": 2, "vocab_size": len(WORDS), "max_seq_len": LENGTH}
CONFIG = {
    "model": {
        "params": {
            "linear_start": 0.00085, "linear_end": 0.012, "timesteps": 20, "image_size": 4, "channels": 4,
            "scale_factor": 0.18215,
            "unet_config": {"params": {"num_heads": 4, "context_dim": WIDTH, "use_spatial_transformer": True}},
            "first_stage_config": {
                "params": {
                    "embed_dim": 4,
                    "ddconfig": {"double_z": True, "z_channels": 4, "resolution": 8, "ch": 32, "ch_mult": [1, 1],
                                 "num_res_blocks": 1, "attn_resolutions": [], "in_channels": 3, "out_ch": 3},
                }
            },
            "cond_stage_config": {"target": "ldm.modules.encoders.modules.BERTEmbedder", "params": BERT},
        }
    }
}  # fmt: skip


def layer(name, *shape, bias=True):
    """Of a linear layer or convolution."""
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {})


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def bert(prefix="", gated=False, depth=2):
    """BERTEmbedder's transformer: the shapes by name."""
    hidden, found = 4 * WIDTH, {"token_emb.weight": (len(WORDS), WIDTH)}
    found |= {"pos_emb.emb.weight": (LENGTH, WIDTH), **norm("norm", WIDTH)}
    found |= layer("to_logits", len(WORDS), WIDTH)
    for i in range(depth):
        one, other = (f"attn_layers.layers.{2 * i + k}" for k in (0, 1))
        found |= norm(f"{one}.0", WIDTH) | norm(f"{other}.0", WIDTH)
        for each in "qkv":
            found |= layer(f"{one}.1.to_{each}", INNER, WIDTH, bias=False)
        found |= layer(f"{one}.1.to_out", WIDTH, INNER)
        first = "net.0.proj" if gated else "net.0.0"
        found |= layer(f"{other}.1.{first}", (1 + gated) * hidden, WIDTH)
        found |= layer(f"{other}.1.net.2", WIDTH, hidden)
    return {prefix + name: shape for name, shape in found.items()}


def _block(name, seen, width, told=0):
    """A residual block of the U-Net (`told` wide is the embedded time) or of the autoencoder."""
    if told:
        found = norm(f"{name}.in_layers.0", seen) | layer(f"{name}.in_layers.2", width, seen, 3, 3)
        found |= layer(f"{name}.emb_layers.1", 2 * width, told)
        found |= norm(f"{name}.out_layers.0", width)
        found |= layer(f"{name}.out_layers.3", width, width, 3, 3)
        return found | (
            layer(f"{name}.skip_connection", width, seen, 1, 1) if seen != width else {}
        )
    found = norm(f"{name}.norm1", seen) | layer(f"{name}.conv1", width, seen, 3, 3)
    return found | norm(f"{name}.norm2", width) | layer(f"{name}.conv2", width, width, 3, 3)


def _crossed(name, width, context):
    """A spatial transformer."""
    inner = f"{name}.transformer_blocks.0"
    found = norm(f"{name}.norm", width)
    for each in ("proj_in", "proj_out"):
        found |= layer(f"{name}.{each}", width, width, 1, 1)
    for attention, seen in (("attn1", width), ("attn2", context)):
        found |= layer(f"{inner}.{attention}.to_q", width, width, bias=False)
        for each in "kv":
            found |= layer(f"{inner}.{attention}.to_{each}", width, seen, bias=False)
        found |= layer(f"{inner}.{attention}.to_out.0", width, width)
    found |= layer(f"{inner}.ff.net.0.proj", 8 * width, width)
    found |= layer(f"{inner}.ff.net.2", width, 4 * width)
    return found | {k: v for i in (1, 2, 3) for k, v in norm(f"{inner}.norm{i}", width).items()}


def _attended(name, width):
    """Attention of the latents to themselves."""
    return (
        norm(f"{name}.norm", width)
        | layer(f"{name}.qkv", 3 * width, width, 1)
        | layer(f"{name}.proj_out", width, width, 1)
    )


def unet(prefix="model.diffusion_model.", width=32, context=WIDTH, beside=0):
    """A U-Net of one level, told of time by scale and shift: the shapes by name."""
    told = 4 * width

    def attends(name):
        return _crossed(name, width, context) if context else _attended(name, width)

    found = layer("time_embed.0", told, width) | layer("time_embed.2", told, told)
    found |= layer("input_blocks.0.0", width, 4 + beside, 3, 3)
    for name, seen in (
        ("input_blocks.1", width),
        ("output_blocks.0", 2 * width),
        ("output_blocks.1", 2 * width),
    ):
        found |= _block(f"{name}.0", seen, width, told) | attends(f"{name}.1")
    for k in (0, 2):
        found |= _block(f"middle_block.{k}", width, width, told)
    found |= attends("middle_block.1")
    found |= norm("out.0", width) | layer("out.2", 4, width, 3, 3)
    return {prefix + name: shape for name, shape in found.items()}


def first_stage(prefix="first_stage_model.", width=32):
    """A KL autoencoder that halves the sides once: the shapes by name."""
    found = layer("encoder.conv_in", width, 3, 3, 3) | layer("decoder.conv_in", width, 4, 3, 3)
    for half, way, outputs, blocks in (("encoder", "down", 8, 1), ("decoder", "up", 3, 2)):
        for level in (0, 1):
            for k in range(blocks):
                found |= _block(f"{half}.{way}.{level}.block.{k}", width, width)
        step = ("down.0.downsample", "up.1.upsample")[way == "up"]
        found |= layer(f"{half}.{step}.conv", width, width, 3, 3)
        for k in (1, 2):
            found |= _block(f"{half}.mid.block_{k}", width, width)
        found |= norm(f"{half}.mid.attn_1.norm", width)
        for each in ("q", "k", "v", "proj_out"):
            found |= layer(f"{half}.mid.attn_1.{each}", width, width, 1, 1)
        found |= norm(f"{half}.norm_out", width)
        found |= layer(f"{half}.conv_out", outputs, width, 3, 3)
    found |= layer("quant_conv", 8, 8, 1, 1) | layer("post_quant_conv", 4, 4, 1, 1)
    return {prefix + name: shape for name, shape in found.items()}


def text_to_image(gated=False):
    """The whole model."""
    return unet() | first_stage() | bert("cond_stage_model.transformer.", gated)


def filling():
    """A model that fills in, with its autoencoder under both names."""
    return unet(context=0, beside=5) | first_stage() | first_stage("cond_stage_model.")


def drawn(shapes):
    """Tensors of these shapes, of about the size that keeps what goes through them."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, shape in shapes.items():
        fan = shape[1:].numel() if isinstance(shape, torch.Size) else torch.Size(shape[1:]).numel()
        one = len(shape) == 1
        scale = 0.2 if one else 1.0 if "emb." in name else fan**-0.5
        found[name] = torch.randn(shape, generator=generator) * scale
        if one and name.endswith("weight"):
            found[name] += 1
    return found


def written(folder, state, config=None, words=None):
    """A folder with a file of these tensors; its configuration and vocab.txt beside it, if given."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model.safetensors")
    if config is not None:
        (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    if words is not None:
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    return folder / "model.safetensors"


def rows_of(state, ids, gated=False, prefix=""):
    """The rows of tokens, as the published class computes them: one head, one position after another, in float64."""
    own = {k.removeprefix(prefix): v.double() for k, v in state.items() if k.startswith(prefix)}

    def linear(name, x):
        bias = own.get(f"{name}.bias", torch.zeros(()))
        return x @ own[f"{name}.weight"].T + bias

    def norm(name, x):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * own[f"{name}.weight"] + own[f"{name}.bias"]

    def gelu(x):
        return x * (1 + torch.erf(x / 2**0.5)) / 2

    x = own["token_emb.weight"][torch.tensor(ids)] + own["pos_emb.emb.weight"][: len(ids)]
    depth = sum("to_q" in name for name in own)
    for i in range(depth):
        name = f"attn_layers.layers.{2 * i}"
        given = norm(f"{name}.0", x)
        q, k, v = (linear(f"{name}.1.to_{each}", given) for each in "qkv")
        seen = []
        for head in range(INNER // 64):
            part = slice(64 * head, 64 * head + 64)
            seen.append((q[:, part] @ k[:, part].T / 8).softmax(-1) @ v[:, part])
        x = x + linear(f"{name}.1.to_out", torch.cat(seen, 1))
        name = f"attn_layers.layers.{2 * i + 1}"
        given = norm(f"{name}.0", x)
        if gated:
            value, gate = linear(f"{name}.1.net.0.proj", given).chunk(2, 1)
            raised = value * gelu(gate)
        else:
            raised = gelu(linear(f"{name}.1.net.0.0", given))
        x = x + linear(f"{name}.1.net.2", raised)
    return norm("norm", x)
