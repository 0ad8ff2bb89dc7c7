"""Turn a published MSPN checkpoint into this project's weight file.

Three layouts are known, and told apart by their names: the authors' release, mmpose's present one, and that
of its versions 0.x, in which it publishes its files; of up to 16 stages. Weights under a `model` or
`state_dict` key and names with a `module.` prefix are found. Every name must fit, and no tensor hold NaN,
infinity or a variance below 0; what does not is an error that lists it, unless --allow-partial names it.
See docs/published-weights.md.
"""

import argparse
from pathlib import Path

from mspn.commands.cli import to_size

HELP = "turn a published checkpoint into this project's weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="the published .pth file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write .safetensors")
    add = parser.add_argument
    add("--input", type=to_size, metavar="HxW", help="input size (default: 256x192, MPII 256x256)")
    add("--allow-partial", nargs="+", action="extend", default=[], metavar="PATTERN", help="names in the "
        "checkpoint's layout, * and ? allowed, that may be missing or left over; what is missing keeps "
        "random initial weights, and such a file is refused by evaluation")  # fmt: skip
    add("--channels", choices=("rgb", "bgr"), help="what it read (default: the release BGR, mmpose RGB)")
    parser.add_argument("--json", action="store_true", help="print the new file's header as JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from mspn.networks.import_checkpoint import import_checkpoint

    how = {"input_size": args.input, "allow_partial": args.allow_partial, "channels": args.channels}
    read, header = import_checkpoint(args.checkpoint, args.out, **how)
    if args.json:
        told = {"layout": read.layout, "left_over": read.left_over, "same": read.same}
        print(json.dumps({**header, **told}, indent=1))
        return 0
    keywords = read.keywords
    print(
        f"{args.checkpoint}: {read.layout} layout, {keywords['stages']} stages of {keywords['down']}, "
        f"{keywords['joints']} joints ({read.joint_set}), stride on the 3x3"
    )
    if keywords["conv_bias"]:
        print("a bias on every convolution before batch norm, kept")
    if keywords["rgb_input"]:
        print("reads RGB: the network reverses the channels of the BGR images that it is given")
    kinds = {"not whole, random here": read.random, "left over, not used": read.left_over}
    for kind, names in {**kinds, "compared, the same here": read.same}.items():
        for name in names:
            print(f"{kind}: {name}")
    height, width = header["input_size"]
    print(f"wrote {args.out}: input {height}x{width}, tensor hash {header['tensor_hash'][:12]}")
    return 0
