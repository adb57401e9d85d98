"""Training a LoRA of one person on the diffusion model that the host has loaded.

config: the settings. data: pictures to latents. network: adapters on the loaded weights.
loop: the steps. lora_file: the result as a file. fingerprint: what a result depends on.
curve: the loss as a picture. trainer: all of it in order.
"""
