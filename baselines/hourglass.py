"""Stacked Hourglass (Newell et al. 2016), equal width or widened, with MSPN's two strategies as options.

Shapes: N images, K joints, S stages, L supervised scales. Lists of features are finest first, from a quarter
of the image's size to 1/64; supervised scales are coarsest first, 1/32 to 1/4.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mspn.networks.blocks import Conv2d, ConvNorm, channels, initialise, resize
from mspn.networks.mspn import Aggregation

DEPTH = 4
EQUAL = (256, 256, 256, 256, 256)
# Widths of associative embedding (Newell et al. 2017), which the paper's section 3.1 quotes; the fifth
# resolution, at the bottom, repeats the last.
WIDE = (256, 386, 512, 768, 768)


class Residual(nn.Module):
    """Pre-activation bottleneck: batch norm and ReLU before each of 1x1 (to half the width), 3x3 and 1x1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = max(outputs // 2, 1)
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), Conv2d(inputs, middle, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(middle), Conv2d(middle, middle, 3, padding=1, bias=False)
        self.norm3, self.conv3 = nn.BatchNorm2d(middle), Conv2d(middle, outputs, 1, bias=False)
        self.shortcut = nn.Identity() if inputs == outputs else Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h, w)."""
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        y = self.conv3(F.relu(self.norm3(y)))
        return y + self.shortcut(x)


def _conv3x3(inputs: int, outputs: int) -> nn.Module:
    return ConvNorm(inputs, outputs, 3)


def halve(x: Tensor) -> Tensor:
    """2x2 max pool; an odd last row or column is kept, so that small inputs do not vanish."""
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


class Hourglass(nn.Module):
    """Down and up again through five resolutions with one block at every position: skip, down, up, bottom."""

    def __init__(self, widths: Sequence[int], block: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.skip = nn.ModuleList(block(width, width) for width in widths[:-1])
        self.down = nn.ModuleList(map(block, widths[:-1], widths[1:]))
        self.bottom = block(widths[-1], widths[-1])
        self.up = nn.ModuleList(map(block, widths[1:], widths[:-1]))

    def forward(
        self, x: Tensor, carried: Sequence[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """(N, C, H/4, W/4) to the down features of 1/4 to 1/32 and the merged up features of the same scales.

        ``carried`` is added to each of the four down features where it arises.
        """
        downs: list[Tensor] = []
        for level, block in enumerate(self.down):
            if carried is not None:
                x = x + carried[level][0] + carried[level][1]
            downs.append(x)
            x = block(halve(x))
        x = self.bottom(x)
        ups: list[Tensor] = []
        for level in reversed(range(DEPTH)):
            up = F.interpolate(self.up[level](x), size=downs[level].shape[-2:], mode="nearest")
            x = self.skip[level](downs[level]) + up
            ups.insert(0, x)
        return downs, ups


class Stage(nn.Module):
    """One hourglass with its heads; all but the last also make the next stage's input."""

    def __init__(
        self, widths: Sequence[int], *, wide: bool, joints: int, scales: int, last: bool, aggregate: bool
    ) -> None:
        super().__init__()
        width = widths[0]
        self.hourglass = Hourglass(widths, _conv3x3 if wide else Residual)
        self.features = nn.Sequential(Residual(width, width), ConvNorm(width, width), ConvNorm(width, width))
        self.head = Conv2d(width, joints, 1)
        # Multi-scale supervision (paper, section 3.3) reads the coarser merged features, coarsest first.
        coarse = widths[DEPTH - 1 : 0 : -1] if scales == DEPTH else ()
        self.coarse_heads = nn.ModuleList(
            nn.Sequential(ConvNorm(inputs, width), Conv2d(width, joints, 1)) for inputs in coarse
        )
        self.from_heat_maps = None if last else Conv2d(joints, width, 1)
        # Equal width adds the features as they are; the widened variant re-injects them through a 1x1.
        self.from_features = Conv2d(width, width, 1) if wide and not last else nn.Identity()
        carries = aggregate and not last
        self.aggregation = Aggregation(widths[:DEPTH], widths[:DEPTH]) if carries else None

    def heat_maps(self, ups: Sequence[Tensor], finest: Tensor) -> Tensor:
        """(N, L, K, H/4, W/4): every supervised scale, coarsest first, resized to the finest."""
        features = ups[len(self.coarse_heads) : 0 : -1]
        size = finest.shape[-2:]
        coarse = [resize(head(up), size) for head, up in zip(self.coarse_heads, features, strict=True)]
        return torch.stack([*coarse, finest], 1)


class Stem(nn.Module):
    """(N, 3, H, W) to (N, C, H/4, W/4): 7x7 of stride 2, residual, 2x2 max pool, three residuals."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNorm(3, outputs // 4, 7, 2)
        self.before = Residual(outputs // 4, outputs // 2)
        self.after = nn.Sequential(
            Residual(outputs // 2, outputs // 2),
            Residual(outputs // 2, outputs // 2),
            Residual(outputs // 2, outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, C, H/4, W/4)."""
        x: Tensor = self.after(halve(self.before(self.conv(images))))
        return x


class StackedHourglass(nn.Module):
    """Stem and stages. ``forward`` runs only what it returns: inference drops the auxiliary heads."""

    def __init__(self, stem: nn.Module, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stem = stem
        self.stages: list[Stage] = nn.ModuleList(stages)  # type: ignore[assignment]

    def forward(self, images: Tensor, all_stages: bool = False) -> Tensor:
        """(N, 3, H, W) to (N, K, H/4, W/4), or with ``all_stages`` to (N, S, L, K, H/4, W/4)."""
        x = self.stem(images)
        carried = None
        heat_maps = []
        for stage in self.stages:
            downs, ups = stage.hourglass(x, carried)
            features = stage.features(ups[0])
            finest = stage.head(features)
            if all_stages:
                heat_maps.append(stage.heat_maps(ups, finest))
            if stage.from_heat_maps is not None:
                x = x + stage.from_features(features) + stage.from_heat_maps(finest)
                carried = None if stage.aggregation is None else stage.aggregation(downs, ups)
        return torch.stack(heat_maps, 1) if all_stages else finest


def hourglass(
    *,
    stages: int,
    joints: int,
    scales: int = 1,
    width: float = 1.0,
    wide: bool = False,
    aggregate: bool = False,
) -> StackedHourglass:
    """A stacked Hourglass with freshly initialised weights.

    ``stages``: 1 or more. ``joints``: K. ``scales``: 4 supervises every scale, 1 the finest alone. ``width``
    multiplies every number of channels but the image's and the heat maps', the stem's included. ``wide``: the
    paper's dagger row, WIDE with single 3x3 convolutions in place of residuals. ``aggregate``: MSPN's cross
    stage feature aggregation. Raises ValueError for anything else.
    """
    if stages < 1 or scales not in (1, DEPTH):
        raise ValueError(f"stages={stages}, scales={scales}: stages must be at least 1, scales 1 or 4")
    widths = [channels(full, width) for full in (WIDE if wide else EQUAL)]
    parts = [
        Stage(widths, wide=wide, joints=joints, scales=scales, last=last, aggregate=aggregate)
        for last in [False] * (stages - 1) + [True]
    ]
    network = StackedHourglass(Stem(widths[0]), parts)
    initialise(network, heads=[head for stage in parts for head in (stage.head, *stage.coarse_heads)])
    return network
