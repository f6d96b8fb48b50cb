"""Planned re-parameterisation: training branches that fold into one convolution for inference.

Paper: Sec. 4.1, Fig. 4. The plan is one rule, :func:`keeps_identity`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolov7.models.blocks import Activation, ConvAct, batch_norm, fold_batch_norm, silu


@runtime_checkable
class Reparameterizable(Protocol):
    """Module with a deployed form."""

    def fused(self) -> nn.Module: ...


def keeps_identity(in_channels: int, out_channels: int, *, meets_residual_or_concat: bool) -> bool:
    """True if a RepConv has an identity branch, by the plan.

    An identity needs equal widths. Where the output meets a residual or a concatenation, which already
    diversify the gradients, a further identity would destroy that diversity (RepConvN).

    Paper: Sec. 4.1.
    """
    return in_channels == out_channels and not meets_residual_or_concat


class RepConv(nn.Module):
    """Re-parameterisable 3x3 convolution.

        x ─┬─ 3x3 ─ BN ─┐
           ├─ 1x1 ─ BN ─┼─ + ─ activation ─ out
           └─ (BN) ─────┘      the identity only where the plan keeps it

    Args:
        meets_residual_or_concat: True if the output is added to a residual or concatenated.
        identity: force the identity branch on (True) or off (False); None follows the plan.

    Paper: Sec. 4.1, Fig. 4; RepVGG [13].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        activation: Activation = silu,
        *,
        meets_residual_or_concat: bool = False,
        identity: bool | None = None,
    ) -> None:
        super().__init__()
        if identity is None:
            identity = keeps_identity(
                in_channels, out_channels, meets_residual_or_concat=meets_residual_or_concat
            )
        self.conv3x3 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn3x3 = batch_norm(out_channels)
        self.conv1x1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn1x1 = batch_norm(out_channels)
        self.bn_identity = batch_norm(out_channels) if identity else None
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        total = self.bn3x3(self.conv3x3(x)) + self.bn1x1(self.conv1x1(x))
        if self.bn_identity is not None:
            total = total + self.bn_identity(x)
        return self.act(total)

    def fused(self) -> ConvAct:
        """Deployed form: the 3x3 convolution equal to the sum of all branches in eval mode."""
        weight, bias = fold_batch_norm(self.conv3x3.weight, self.bn3x3)
        weight1x1, bias1x1 = fold_batch_norm(self.conv1x1.weight, self.bn1x1)
        weight, bias = weight + F.pad(weight1x1, (1, 1, 1, 1)), bias + bias1x1
        if self.bn_identity is not None:
            eye = torch.eye(weight.shape[0], dtype=weight.dtype, device=weight.device)[:, :, None, None]
            identity, identity_bias = fold_batch_norm(eye, self.bn_identity)
            weight, bias = weight + F.pad(identity, (1, 1, 1, 1)), bias + identity_bias
        return ConvAct(weight, bias, stride=1, activation=self.act)


@torch.no_grad()
def reparameterize(module: nn.Module) -> None:
    """Replace each :class:`Reparameterizable` submodule by its deployed form, in place."""
    for name, child in module.named_children():
        if isinstance(child, Reparameterizable):
            setattr(module, name, child.fused())
        else:
            reparameterize(child)
