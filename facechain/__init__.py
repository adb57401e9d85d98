"""The core of FaceChain: photos, faces, training, fusion and ranking.

It imports nothing of ComfyUI; what it needs of the host (progress, cancel check,
device, folders) is passed in. The nodes in ``nodes/`` are thin shells over it.
"""
