"""The demo model's text encoder: CLIP-L's layout with weights from a seed, never trained.

Each token is its own random vector plus, from the first layer, the mean of all tokens up to it. So every
place, padding included, carries the whole caption, and captions that share words lie near each other:
with a few thousand steps of training a UNet can learn to read that, which it could not with chance attention.
"""

from __future__ import annotations

import numpy as np

WIDTH, LAYERS, WORDS, PLACES = 768, 12, 49408, 77
_MIXING = 8.0  # how much the mean counts against the token itself: means of 40 random vectors are short
_REST = 0.05  # what later layers add; core insists on all twelve


def text_encoder(seed: int) -> dict[str, np.ndarray]:
    """Weights under the names of CLIP-L's text_model, float32; the same for the same seed on every machine."""
    random = np.random.default_rng(seed)
    weights = {
        "text_model.embeddings.token_embedding.weight": random.standard_normal((WORDS, WIDTH), np.float32),
        "text_model.embeddings.position_embedding.weight": _normal(random, PLACES, WIDTH, gain=0.2 * WIDTH**0.5),
        **_norm("text_model.final_layer_norm"),
    }
    for index in range(LAYERS):
        name = f"text_model.encoder.layers.{index}"
        for part, rows, columns, gain in (
            ("self_attn.q_proj", WIDTH, WIDTH, 0.1),  # flat attention: the mean of what came before
            ("self_attn.k_proj", WIDTH, WIDTH, 0.1),
            ("self_attn.v_proj", WIDTH, WIDTH, 1.0),
            ("self_attn.out_proj", WIDTH, WIDTH, _REST if index else _MIXING),
            ("mlp.fc1", 4 * WIDTH, WIDTH, 1.0),
            ("mlp.fc2", WIDTH, 4 * WIDTH, _REST),
        ):
            weights[f"{name}.{part}.weight"] = _normal(random, rows, columns, gain=gain)
            weights[f"{name}.{part}.bias"] = np.zeros(rows, np.float32)
        weights |= {**_norm(f"{name}.layer_norm1"), **_norm(f"{name}.layer_norm2")}
    return weights


def _normal(random: np.random.Generator, rows: int, columns: int, gain: float) -> np.ndarray:
    return random.standard_normal((rows, columns), np.float32) * np.float32(gain / columns**0.5)


def _norm(name: str) -> dict[str, np.ndarray]:
    return {f"{name}.weight": np.ones(WIDTH, np.float32), f"{name}.bias": np.zeros(WIDTH, np.float32)}
