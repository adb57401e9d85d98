"""From a host's model to one that can be trained: adapters, captions, and activations that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..person import Person
from .config import TrainConfig
from .data import LatentBank
from .host import Host, TextEncoder
from .lean import settle, settled_bytes
from .loop import Captions, Trainee
from .loss import Conditions, add_noise, loss_of
from .memory import computed_again, kept_bytes
from .network import Adapter, add_adapters, blocks_of, checkpoint_blocks, trainable_view, watch_layers
from .optimizers import Group
from .validation import NEGATIVE, PROMPTS, Text, portrait_shape

PLENTY = 0.3  # of the free memory at most is taken for speed where it is "plenty"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Prepared:
    """adapters: of the model, then of the text encoder. names: of their layers, as the LoRA file has them.

    prompts, portrait: of the validation portraits, and the shape [C, ...] of their latents.
    """

    trainee: Trainee
    adapters: list[Adapter]
    names: dict[str, str]
    prompts: Text
    portrait: tuple[int, ...]


def dtype_of(config: TrainConfig, host: Host) -> torch.dtype:
    """What the network computes in."""
    return PRECISIONS.get(config.precision, host.dtype)


def encode_texts(person: Person, config: TrainConfig, host: Host, with_others: bool) -> dict[str, Any]:
    """Every text of the training, encoded by the text encoder as it is. with_others: there are class pictures."""
    wanted = [person.caption, NEGATIVE, *_prompts(person), *person.captions]
    wanted += [""] if config.caption_dropout else []
    wanted += [person.attributes.phrase] if with_others else []
    return {text: host.encode_text(text) for text in wanted}


def prepare(
    person: Person,
    config: TrainConfig,
    host: Host,
    loaded: Any,
    texts: dict[str, Any],
    bank: LatentBank,
    with_others: bool,
) -> Prepared:
    """Put adapters into a view of the loaded model, and keep or compute again the activations, as memory allows."""
    model = trainable_view(loaded, dtype_of(config, host))
    adapters = add_adapters(model.diffusion_model, config, host.layer_names, host.device)
    names = dict(host.layer_names)
    groups, networks = [Group(_halves(adapters), config.learning_rate)], [model.diffusion_model]
    encoder = host.text_encoder() if config.clip_rate else None
    if encoder is not None:
        taught = add_adapters(encoder.network, config, encoder.layer_names)
        groups.append(Group(_halves(taught), config.clip_rate))
        networks.append(encoder.network)
        adapters, names = [*adapters, *taught], {**names, **encoder.layer_names}
    for network in networks:
        watch_layers(network, host.check_cancel)

    def conditions(text: str, count: int, latent: Sequence[int] = bank.latents.shape[1:]) -> Callable[[], Conditions]:
        return _conditions(host, model, text, texts, encoder, torch.zeros(count, *latent))

    batch = config.batch_size
    captions = Captions(
        conditions(person.caption, batch),
        conditions("", batch) if config.caption_dropout else None,
        conditions(person.attributes.phrase, batch) if with_others else None,
        [conditions(caption, batch) for caption in person.captions],
    )
    recorded = config.cuda_graphs == "auto" and encoder is None and _wholly_on_card(model)
    trainee = Trainee(model, groups, captions, host.device, host.options(), recorded)
    blocks = [block for network in networks for block in blocks_of(network)]
    again, roomy = _not_kept(blocks, networks, trainee, config, host, bank)
    checkpoint_blocks(again)
    if roomy:
        settle(model.diffusion_model, dtype_of(config, host))
    trainee = replace(trainee, roomy=roomy)
    portrait = portrait_shape(bank.latents.shape[1:], config.resolution_for(person.size))
    drawn = [conditions(prompt, 1, portrait) for prompt in _prompts(person)]
    return Prepared(trainee, adapters, names, Text(drawn, conditions(NEGATIVE, 1, portrait)), portrait)


def usable(conditions: Conditions, device: torch.device) -> Conditions:
    """The same with tensors on the device that may take part in training: those made in inference mode may not."""
    tensors = {key: value.to(device).clone() for key, value in conditions.items() if isinstance(value, torch.Tensor)}
    return {**conditions, **tensors}


def _prompts(person: Person) -> list[str]:
    return [prompt.format(person.caption) for prompt in PROMPTS]


def _conditions(
    host: Host, model: Any, text: str, texts: dict[str, Any], encoder: TextEncoder | None, shape: torch.Tensor
) -> Callable[[], Conditions]:
    """The conditions of a text: made once, or each time where the text encoder learns."""
    if encoder is not None:
        return lambda: host.conditions(model, encoder.encode(text), shape)
    made = usable(host.conditions(model, texts[text], shape), host.device)
    return lambda: made


def _wholly_on_card(model: Any) -> bool:
    """Whether no weight or noise schedule has to be brought over in a step."""
    parts = [*model.diffusion_model.state_dict().values(), *model.model_sampling.state_dict().values()]
    return all(tensor.is_cuda for tensor in parts)


def _not_kept(
    blocks: list[nn.Module],
    networks: list[nn.Module],
    trainee: Trainee,
    config: TrainConfig,
    host: Host,
    bank: LatentBank,
) -> tuple[list[nn.Module], bool]:
    """The blocks whose activations are computed again, and whether a card has plenty of memory besides."""
    if config.checkpointing != "auto":
        return (blocks if config.checkpointing == "on" else []), False
    generator = torch.Generator().manual_seed(0)
    batch = bank.batch(config.batch_size, generator)
    noised = add_noise(trainee.model, batch, config, generator, trainee.device)

    def forward() -> torch.Tensor:
        return loss_of(trainee.model, trainee.captions.person(), noised, config, trainee.options)

    kept, rest = kept_bytes(forward, networks, blocks)
    free = host.free_bytes()
    again = [blocks[index] for index in computed_again(kept, rest, free)]
    wanted = sum(block.whole for block in kept) + rest
    wanted += settled_bytes(trainee.model.diffusion_model, dtype_of(config, host))
    return again, trainee.recorded and wanted < PLENTY * free


def _halves(adapters: list[Adapter]) -> list[nn.Parameter]:
    return [half for adapter in adapters for half in (adapter.down, adapter.up)]
