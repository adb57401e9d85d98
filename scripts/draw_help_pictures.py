"""Make the example pictures of the help pages, web/docs/<node>/example*.webp, in a real ComfyUI.

    python3 scripts/draw_help_pictures.py

One person is in them, in a photo in the public domain (scripts/sample_photos.py) and copies of it: turned over,
softened, darkened. Nobody gets somebody else's face, and nothing is trained. Needs a Chromium for the pages of nodes
that have no picture of their own.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy_host

if TYPE_CHECKING:
    from comfy_client import ComfyClient, Prompt
    from PIL.Image import Image

DOCS = comfy_host.ROOT / "web" / "docs"
WIDTH = 720  # pixels at most
QUALITY = 78
# shown as they look on the page, in either language
SHOTS = tuple(f"FaceChain_{name}" for name in ("TrainingOptions", "TrainStyleLoRA", "SavePortraits", "DeletePerson"))
SHOTS += ("FaceChain_SystemCheck",)
NO_BADGES = {"Comfy.NodeBadge.NodeSourceBadgeMode": "None"}  # half of one would show at a picture's edge
CHART = (40, 300, 600, 600)  # where the drawn curve is in the picture of the graph train_person

# the report as on anybody's machine, in a node no larger than it
WITHOUT_PATHS = """() => {
    const node = app.graph._nodes[0], { element } = node.widgets.at(-1);
    element.value = element.value.replace(/\\/\\S*(?=\\/(models|scripts)\\/)/g, '…').replace(/\\/\\S*\\/python\\b/g, 'python');
    node.setSize([node.size[0], 520]);
}"""


def main() -> None:
    try:
        host = comfy_host.prepare(("requirements-dev.txt",))
        comfy_host.reenter(host)
        sys.path.append(str(comfy_host.ROOT))
        import standin
        from comfy_client import ComfyClient

        checkpoint = standin.make_checkpoint(host.models / "checkpoints" / standin.CHECKPOINT_NAME).name
        with comfy_host.Server(host) as server:
            for name, picture in examples(ComfyClient(server.url), checkpoint).items():
                save(picture, DOCS / f"FaceChain_{name}" / "example.webp")
            shoot(server.url)
    except comfy_host.HostError as error:
        raise SystemExit(f"error: {error}") from None


# --- pictures that nodes make ---


def examples(client: ComfyClient, checkpoint: str) -> dict[str, Image]:
    """By the node's name."""
    from PIL import Image

    photos = _photos()
    template = side_by_side([photos["1.png"], _softened(photos["2.png"])], gap=0, height=512)
    uploaded = {name: _upload(client, picture, name) for name, picture in photos.items()}
    drawn = [_upload(client, _softened(photos["2.png"]), "soft.png"), uploaded["2.png"], uploaded["4.png"]]
    ran = client.run(jobs(checkpoint, list(uploaded.values()), drawn, _upload(client, template, "template.png")))

    def shown(node: str) -> list[Image]:
        references = ran.outputs[node]["images"]
        return [Image.open(io.BytesIO(client.fetch(reference))).convert("RGB") for reference in references]

    (skeleton,), (soft,), (fused,) = shown("p_pose"), shown("p_drawn"), shown("p_fused")
    close = (140, 0, 400, 260)
    return {
        "LoadPhotos": sheet(list(photos.values()), list(photos)),
        "Preprocess": shown("preprocess")[0],
        "TrainPersonLoRA": Image.open(comfy_host.ROOT / "workflows" / "train_person.jpg").crop(CHART),
        "LoadPerson": side_by_side(shown("p_aligned")),
        "PoseControl": side_by_side([photos["1.png"], skeleton]),
        "FaceFusion": side_by_side([soft.crop(close), fused.crop(close)]),
        "SimilarityRank": shown("rank")[0],
        "TemplateFace": side_by_side([template, *shown("p_crop"), *shown("p_mask")]),
        "TemplatePaste": side_by_side([*shown("p_crop"), *shown("p_new"), *shown("p_paste")]),
        "GroupPortrait": side_by_side([*shown("p_preview"), *shown("p_group")]),
    }


def jobs(checkpoint: str, photos: list[str], drawn: list[str], template: str) -> Prompt:
    """All of it in one workflow in API format; the nodes p_… show what is taken."""
    prompt: Prompt = {}

    def node(name: str, kind: str, /, **inputs: Any) -> None:
        prompt[name] = {"class_type": kind, "inputs": inputs}

    def show(name: str, source: str, output: int = 0) -> None:
        node(f"p_{name}", "PreviewImage", images=[source, output])

    fitted = {"engine": "embedded"}
    node("base", "CheckpointLoaderSimple", ckpt_name=checkpoint)
    node("photos", "FaceChain_LoadPhotos", folder="(none)", files="\n".join(photos), max_side=1536)
    about = {"name": "example", "size": "512", "background": "white", "retouch": 0.2, "gender": "auto", "age": 0}
    about |= {"caption": "", "save": False, "sam_model": "(none)", "tags": ""}
    node("preprocess", "FaceChain_Preprocess", photos=["photos", 0], names=["photos", 1], **about, **fitted)
    show("aligned", "preprocess", 1)
    person = ["preprocess", 0]
    node("photo", "LoadImage", image=photos[0])
    node("text", "CLIPTextEncode", clip=["base", 1], text="")
    posing = {"positive": ["text", 0], "negative": ["text", 0], "source": "picture", "width": 512, "height": 512}
    posing |= {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    node("pose", "FaceChain_PoseControl", pose_image=["photo", 0], **posing)
    show("pose", "pose", 2)
    node("soft", "LoadImage", image=drawn[0])
    show("drawn", "soft")
    fusing = {
        "fusion": "embedded",
        "faces": "largest",
        "face_index": 1,
        "identity": 1.0,
        "shape": 0.5,
        "skin_tone": 0.0,
    }
    node("fused", "FaceChain_FaceFusion", images=["soft", 0], person=person, **fusing, **fitted)
    show("fused", "fused")
    node("portraits", "FaceChain_LoadPhotos", folder="(none)", files="\n".join(drawn), max_side=1536)
    limits = {"keep": 1, "min_face": 0.1, "max_face": 0.8, "when_none": "give all unranked"}
    node("rank", "FaceChain_SimilarityRank", images=["portraits", 0], person=person, **limits, **fitted)
    node("template", "LoadImage", image=template)
    cut = {"face": 2, "size": 512, "face_part": 0.45, "grow": 0.1}
    node("cut", "FaceChain_TemplateFace", template=["template", 0], **cut, **fitted)
    show("crop", "cut")
    node("mask", "MaskToImage", mask=["cut", 1])
    show("mask", "mask")
    node("new", "FaceChain_FaceFusion", images=["cut", 0], person=person, **fusing, **fitted)
    show("new", "new")
    pasted = {"template": ["template", 0], "crop": ["new", 0], "template_face": ["cut", 2]}
    node("paste", "FaceChain_TemplatePaste", **pasted, feather=0.08, match_colour=True)
    show("paste", "paste")
    drawing = {
        "style": "(none)",
        "person_weight": 0.95,
        "denoise": 0.0,
        "steps": 4,
        "cfg": 2.0,
        "seed": 42,
        "size": 512,
    }
    drawing |= {"sampler_name": "dpmpp_2m", "scheduler": "karras", "identity": 1.0, "faces": "2"}
    trio = {"model": ["base", 0], "clip": ["base", 1], "vae": ["base", 2]}
    node("group", "FaceChain_GroupPortrait", **trio, template=["template", 0], person_1=person, **drawing, **fitted)
    show("group", "group")
    show("preview", "group", 1)
    return prompt


def _photos() -> dict[str, Image]:
    """One person in four photos: good, from the other side and darker, blurred, and one of nobody."""
    from PIL import Image, ImageFilter
    from sample_photos import fetch_photos

    photo = Image.open(fetch_photos()["astronaut"]).convert("RGB")
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point([round(v * 0.85) for v in range(256)] * 3)
    nobody = photo.crop((0, 300, 200, 500)).resize((512, 512))
    return {"1.png": photo, "2.png": mirrored, "3.png": photo.filter(ImageFilter.GaussianBlur(7)), "4.png": nobody}


def _softened(photo: Image) -> Image:
    """As a small or weak drawing has it: without the fine traits of the face."""
    from PIL import Image

    small = photo.resize((photo.width // 5, photo.height // 5), Image.Resampling.BOX)
    return small.resize(photo.size, Image.Resampling.BICUBIC)


def _upload(client: ComfyClient, picture: Image, name: str) -> str:
    folder = comfy_host.HOST / "help"
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / name)
    return client.upload(folder / name, "help")


# --- nodes as they look ---


def shoot(url: str) -> None:
    """Each node alone on the page, in both languages."""
    import front_end

    path = front_end.find_chromium()
    if not path:
        raise comfy_host.HostError("no Chromium found. Install it (Debian: apt install chromium) or set CHROMIUM.")
    with front_end.chromium(path) as browser:
        for language in ("en", "zh"):
            with front_end.open_page(browser, url, locale=language, size=(1280, 1100), **NO_BADGES) as page:
                for kind in SHOTS:
                    save(_shot(page, kind), DOCS / kind / f"example_{language}.webp")
                save(_gallery(page), DOCS / "FaceChain_LoadStyle" / f"example_{language}.webp")


def _shot(page: Any, kind: str) -> Image:
    from PIL import Image

    page.page.evaluate("kind => app.loadApiJson({ 1: { class_type: kind, inputs: {} } }, 'help')", kind)
    page.wait_for(1)
    if kind == "FaceChain_SystemCheck":
        page.page.get_by_test_id("queue-button").first.click()
        page.page.wait_for_function("() => app.graph._nodes[0].widgets.at(-1).element?.value", timeout=120_000)
        page.page.evaluate(WITHOUT_PATHS)
    page.screenshot(comfy_host.HOST / "help" / "page.png")
    box = page.page.evaluate("""() => {
        const box = app.graph._nodes[0].boundingRect, view = app.canvas.ds;
        view.scale = 1;
        view.offset = [200 - box[0], 200 - box[1]];
        app.canvas.setDirty(true, true);
        return [200, 200, box[2], box[3]];
    }""")
    page.page.wait_for_timeout(700)
    x, y, width, height = box
    clip = {"x": x - 12, "y": y - 12, "width": width + 24, "height": height + 24}
    return Image.open(io.BytesIO(page.page.screenshot(clip=clip))).convert("RGB")


def _gallery(page: Any) -> Image:
    from PIL import Image

    page.page.evaluate("""() => {
        app.loadApiJson({ 1: { class_type: 'FaceChain_LoadStyle', inputs: {} } }, 'help');
        app.graph._nodes[0].widgets.find(widget => widget.type === 'button').callback();
    }""")
    dialog = page.page.locator(".facechain-gallery")
    dialog.wait_for()
    page.page.wait_for_timeout(700)
    picture = Image.open(io.BytesIO(dialog.screenshot())).convert("RGB")
    page.page.keyboard.press("Escape")
    return picture.crop((0, 0, picture.width, min(picture.height, 520)))


# --- putting pictures together ---


def side_by_side(pictures: list[Image], gap: int = 8, height: int = 320) -> Image:
    from PIL import Image

    scaled = [picture.resize((round(picture.width * height / picture.height), height)) for picture in pictures]
    row = Image.new("RGB", (sum(one.width + gap for one in scaled) - gap, height), "white")
    x = 0
    for picture in scaled:
        row.paste(picture, (x, 0))
        x += picture.width + gap
    return row


def sheet(pictures: list[Image], names: list[str]) -> Image:
    import numpy as np
    from PIL import Image

    from facechain.sheets import contact_sheet, tile

    tiles = [tile(np.asarray(picture), (name,)) for picture, name in zip(pictures, names, strict=True)]
    return Image.fromarray(contact_sheet(tiles, columns=min(5, len(tiles))))


def save(picture: Image, path: Path) -> None:
    from PIL import Image

    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.save(path, quality=QUALITY, method=6)
    print(f"{path.relative_to(comfy_host.ROOT)}: {path.stat().st_size // 1024} KB", flush=True)


if __name__ == "__main__":
    main()
