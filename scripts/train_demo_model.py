"""Train the small base model that the project carries: `python scripts/train_demo_model.py --pictures DIR --work DIR`.

Four stages, each kept in the work folder and not repeated: views of the pictures (each picture also with others' faces),
the autoencoder, the encoded views and captions, the UNet. The UNet goes on from its last snapshot; --minutes counts all
runs together. At the end models/demo/ holds the model, and the work folder a sheet of pictures that it draws.

Runs in ComfyUI's environment (scripts/comfy_host.py prepares one). A data centre's card trains 3,000 views a second
(--batch 128 --rate 5e-4 --autoencoder-minutes 2 --minutes 5 is plenty), one thread of a CPU one or two.
"""

from __future__ import annotations

import os
import sys

# glibc hands large blocks back to the system after every step, and a third of the time goes into getting them again.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}

if __name__ == "__main__":
    if not KEEP_MEMORY.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP_MEMORY)
    from demo_model.train import main

    main(__doc__)
