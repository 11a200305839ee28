"""The device that networks run on."""


def available() -> str:
    """The torch device to use: cuda if torch finds a GPU, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
