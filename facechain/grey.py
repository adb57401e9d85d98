"""Grey of colours. Without torch, for those who only look at faces."""

from __future__ import annotations

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # grey of red, green and blue (ITU-R BT.601)
