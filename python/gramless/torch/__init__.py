"""Losses for training loops of torch, without n x n memory.

`gramless.nt_xent` and its relatives are differentiable when they are given tensors; here are the modules.
Everything works under torch.compile, torch.func, autocast and activation checkpointing; second derivatives
are refused.
"""

from .losses import CLIPLoss, DCLLoss, DCLWLoss, NTXentLoss, SupConLoss
from .similarity import CKALoss, HSICLoss

__all__ = ["CKALoss", "CLIPLoss", "DCLLoss", "DCLWLoss", "HSICLoss", "NTXentLoss", "SupConLoss"]
