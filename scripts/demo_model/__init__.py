"""The small base model that the project carries: its pictures, its networks, its files.

Modules here use the core and the scripts beside this folder, wherever Python was started.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [folder for folder in (str(ROOT), str(ROOT / "scripts")) if folder not in sys.path]
