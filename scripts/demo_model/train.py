"""The stages of the training, each kept in the work folder."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import comfy_host
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from . import captions, checkpoint
from .autoencoder import Autoencoder, train_autoencoder
from .diffusion import Bank, Training
from .pictures import CAPTIONS, Picture, read_pictures, view
from .sheet import draw
from .unet import listen, make_unet

SIZE = 192  # pixels of a side of a view
VIEWS, WHITE_VIEWS = 2, 1  # of each picture that is drawn, and of its head on white: the fewer, the sooner learnt
PLAIN_SHARE = 0.25  # of the UNet's training that heads on white get
FOCUS_SHARE = 0.62  # that the styles in focus get
WINDOWS = 2  # of 77 tokens; a shorter text is repeated, which attention does not notice


def main(description: str | None) -> None:
    arguments = _arguments(description)
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    if arguments.from_shipped:
        _unpack(work)
    pictures = None if (work / "bank.safetensors").is_file() else read_pictures(arguments.pictures)
    autoencoder = _autoencoder(work, pictures, 60 * arguments.autoencoder_minutes)
    if arguments.decoder_minutes:
        _sharpen(work, autoencoder, arguments)
    bank = _bank(work, pictures, autoencoder, arguments.focus)
    training = _train(work, bank, arguments)
    unet = {name: value.numpy() for name, value in training.mean.items()}
    parts = {name: value.detach().numpy() for name, value in autoencoder.state_dict().items()}
    about = {"steps": str(training.step), "seconds": f"{training.seconds:.0f}", "size": str(SIZE)}
    print(f"{checkpoint.SHIPPED}: {checkpoint.ship(checkpoint.SHIPPED, unet, parts, about) / 1e6:.1f} MB")
    styles = sorted(
        {one["style"] for one in json.loads(CAPTIONS.read_text(encoding="utf-8")).values() if "style" in one}
    )
    page = draw(checkpoint.SHIPPED, work / "checkpoint.safetensors", comfy_host.prepare().comfy, styles, SIZE)
    page.save(work / "sheet.png")


def _arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pictures", type=Path, nargs="+", required=True, metavar="DIR", help="folders that captions.json speaks of"
    )
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for stages, snapshots and the log")
    parser.add_argument("--minutes", type=float, default=90, help="of training the UNet, earlier runs included")
    parser.add_argument("--autoencoder-minutes", type=float, default=15)
    parser.add_argument("--focus", nargs="*", default=(), metavar="STYLE", help="styles that are drawn more often")
    parser.add_argument(
        "--decoder-minutes",
        type=float,
        default=0,
        help="train the decoder alone further, which the UNet does not notice",
    )
    parser.add_argument(
        "--from-shipped",
        action="store_true",
        help="where the work folder holds nothing yet, begin with the model in models/demo",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=3e-4)
    return parser.parse_args()


def _unpack(work: Path) -> None:
    """Put the shipped model's parts where the stages look for what an earlier run has left, unless one has."""
    parts, about = checkpoint.read_shipped(checkpoint.SHIPPED)
    print(f"beginning with the shipped model of {about['steps']} steps")
    for part, name in (("vae.", "autoencoder"), ("unet.", "unet")):
        if not (work / f"{name}.safetensors").is_file():
            tensors = {key: torch.from_numpy(value).float() for key, value in parts[part].items()}
            save_file(tensors, work / f"{name}.safetensors")


def _autoencoder(work: Path, pictures: list[Picture] | None, seconds: float) -> Autoencoder:
    torch.manual_seed(0)
    model, path = Autoencoder(), work / "autoencoder.safetensors"
    if path.is_file():
        model.load_state_dict(load_file(path))
        return model.eval()
    if pictures is None:
        raise SystemExit(f"error: {path} is absent but the bank made with it is there: remove {work} to begin anew.")
    train_autoencoder(model, _varied(pictures), seconds, lambda *numbers: _log_autoencoder(work, *numbers))
    save_file(model.state_dict(), path)
    return model.eval()


def _sharpen(work: Path, model: Autoencoder, arguments: argparse.Namespace) -> None:
    views, seconds = _varied(read_pictures(arguments.pictures)), 60 * arguments.decoder_minutes
    train_autoencoder(model, views, seconds, lambda *numbers: _log_autoencoder(work, *numbers), decoder_only=True)
    save_file(model.state_dict(), work / "autoencoder.safetensors")


def _varied(pictures: list[Picture]) -> np.ndarray:
    """Views for the autoencoder, uint8 RGB [N, SIZE, SIZE, 3]: six of each picture, three of its head on white."""
    random = np.random.default_rng(0)
    kinds = 6 * [False] + 3 * [True]
    return np.stack([view(picture, SIZE, random, white, varied=True) for picture in pictures for white in kinds])


def _log_autoencoder(work: Path, step: int, loss: float, decibel: float) -> None:
    _log(work, {"autoencoder": step, "loss": round(loss, 4), "psnr": round(decibel, 2)})


@torch.inference_mode()
def _bank(work: Path, pictures: list[Picture] | None, autoencoder: Autoencoder, focus: Sequence[str]) -> Bank:
    """Encoded pictures and captions: kept in bank.safetensors and captions.json of the work folder."""
    path, listed = work / "bank.safetensors", work / "captions.json"
    if not path.is_file() and pictures is not None:
        known = json.loads(CAPTIONS.read_text(encoding="utf-8"))
        prompts = {Path(key).stem: about.get("prompt", "") for key, about in known.items()}
        texts: dict[str, int] = {}
        latents, uses = [], []
        random = np.random.default_rng(1)
        for picture in (one for one in pictures if one.drawn):
            words, without = captions.styled(picture.style, picture.phrase, prompts[picture.name])
            plain = captions.plain(picture.phrase)
            for white, count, said in ((False, VIEWS, words), (True, WHITE_VIEWS, plain)):
                views = np.stack([view(picture, SIZE, random, white) for _ in range(count)])
                latents.append(autoencoder.encode(torch.from_numpy(views).permute(0, 3, 1, 2).float() / 255))
                rows = [[texts.setdefault(text, len(texts)) for text in group] for group in (said, without)]
                uses += [{"captions": rows[0], "negatives": rows[1], "white": white, "style": picture.style}] * count
        tensors = {"latents": torch.cat(latents).contiguous(), "texts": _encode(list(texts), work)}
        listed.write_text(json.dumps(uses), encoding="utf-8")
        save_file(tensors, path)
    tensors, uses = load_file(path), json.loads(listed.read_text(encoding="utf-8"))
    rows = [[use[key] for use in uses] for key in ("captions", "negatives")]
    return Bank(tensors["latents"], tensors["texts"], rows[0], rows[1], _shares(uses, focus))


def _shares(uses: list[dict[str, Any]], focus: Sequence[str]) -> torch.Tensor:
    """[N], how often each view is drawn: heads on white, the styles in focus and all others have fixed shares."""
    kinds = ["white" if use["white"] else "focus" if use["style"] in focus else "other" for use in uses]
    wanted = {"white": PLAIN_SHARE, "focus": FOCUS_SHARE if focus else 0.0}
    wanted["other"] = 1 - sum(wanted.values())
    return torch.tensor([wanted[kind] / kinds.count(kind) for kind in kinds])


def _encode(texts: list[str], work: Path) -> torch.Tensor:
    """[K, 77 * WINDOWS, 768] float16, as ComfyUI itself encodes the texts with the demo model's text encoder.

    Kept in texts.safetensors for the same texts: a bank of other views need not encode them anew.
    """
    kept, listed = work / "texts.safetensors", work / "texts.json"
    if kept.is_file() and json.loads(listed.read_text(encoding="utf-8")) == texts:
        return load_file(kept)["texts"]
    host = comfy_host.prepare()
    unet = make_unet(host.comfy)  # any weights: core wants a whole checkpoint
    import comfy.sd

    shipped, whole = work / "untrained.safetensors", work / "untrained_checkpoint.safetensors"
    checkpoint.ship(
        shipped,
        {name: value.numpy() for name, value in unet.state_dict().items()},
        {name: value.numpy() for name, value in Autoencoder().state_dict().items()},
        {},
    )
    clip: Any = comfy.sd.load_checkpoint_guess_config(str(checkpoint.assemble(shipped, whole)), output_vae=False)[1]
    encoded = []
    for text in texts:
        tokens = clip.encode_from_tokens(clip.tokenize(text)).half()
        windows = tokens.shape[1] // 77
        if WINDOWS % windows:
            raise SystemExit(f"error: {windows} windows of tokens, {WINDOWS} at most: {text}")
        encoded.append(tokens.repeat(1, WINDOWS // windows, 1))
    listed.write_text(json.dumps(texts), encoding="utf-8")
    save_file({"texts": torch.cat(encoded)}, kept)
    return torch.cat(encoded)


def _train(work: Path, bank: Bank, arguments: argparse.Namespace) -> Training:
    torch.manual_seed(2)
    unet, snapshot = make_unet(comfy_host.prepare().comfy), work / "snapshot.safetensors"
    if (work / "unet.safetensors").is_file():
        unet.load_state_dict(load_file(work / "unet.safetensors"))
    else:
        listen(unet, bank.texts)
    training = Training(unet)
    if snapshot.is_file():
        training.load(snapshot)
        print(f"going on from step {training.step}")
    saved = time.monotonic()

    def report(state: Training, loss: float) -> None:
        nonlocal saved
        _log(work, {"step": state.step, "seconds": round(state.seconds), "loss": round(loss, 5)})
        if time.monotonic() - saved > 240:
            state.save(snapshot)
            saved = time.monotonic()

    training.run(bank, 60 * arguments.minutes, arguments.batch, arguments.rate, report)
    training.save(snapshot)
    return training


def _log(work: Path, entry: dict[str, Any]) -> None:
    line = json.dumps(entry)
    print(line, flush=True)
    with (work / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
