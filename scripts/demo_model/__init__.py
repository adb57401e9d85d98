"""The small base model that the project carries: its pictures, its networks, its files.

Modules here use the core and the scripts beside this folder, wherever Python was started.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if find_spec("facechain") is None:
    sys.path.append(str(ROOT))  # last, since its nodes/ must not hide ComfyUI's nodes.py
if find_spec("comfy_host") is None:
    sys.path.append(str(ROOT / "scripts"))
