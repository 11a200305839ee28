"""What networks run on."""


def available() -> str:
    """cuda where torch finds a card, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
