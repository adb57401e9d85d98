"""A table of people and styles, worked off by several ComfyUI servers: here, or on many machines by Ray.

scripts/fleet.py is its program, docs/fleet.md tells how to use it. Nothing here imports ComfyUI: each worker runs a
server of its own and speaks to it by HTTP. The modules beside scripts/ (comfy_client, comfy_host) must be importable.
"""
