"""Our own motion file (``processed/_motion/<clip>.npz``): a standardised Motion, metres and z-up, without loss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from motion import files
from motion.errors import InputError
from motion.formats import register
from motion.motion import Motion, Skeleton

FORMAT, VERSION = "mimic-motion", 1


def _sniff(head: bytes) -> bool:
    return head.startswith(b"PK\x03\x04")


@register("npz", looks="a zip of arrays with a mimic-motion header", sniff=_sniff)
def read(path: Path | str) -> Motion:
    """Read a Motion written by `write`.

    Raises:
        InputError: missing, damaged, another format or version.
    """
    arrays = files.read_npz(path)
    try:
        header = json.loads(str(arrays["header"]))
        found = f"{header.get('format')} version {header.get('version')}"
    except (KeyError, ValueError, AttributeError) as error:
        raise InputError(f"expected {FORMAT} version {VERSION}, found an npz without its header", where=path) from error
    if (header.get("format"), header.get("version")) != (FORMAT, VERSION):
        raise InputError(
            f"expected {FORMAT} version {VERSION}, found {found}",
            where=path,
            hint="write it again with `mimic-pipe ingest`",
        )
    try:
        return Motion(
            name=header["name"],
            skeleton=Skeleton(tuple(header["joints"]), arrays["parents"], arrays["offsets"], arrays["is_end"]),
            fps=header["fps"],
            root_positions=arrays["root_positions"],
            rotations=arrays["rotations"],
            translations=arrays.get("translations"),
            loop=header["loop"],
            provenance=header["provenance"] | {"declared_unit": 1.0, "declared_up": "z"},
        )
    except KeyError as error:
        raise InputError(f"{FORMAT} without {error}", where=path) from error
    except InputError as error:
        raise InputError(str(error), where=path, hint=error.hint) from error
    except (TypeError, ValueError, IndexError) as error:  # a header or array of the wrong kind
        raise InputError(f"damaged {FORMAT}: {error}", where=path) from error


def write(path: Path | str, motion: Motion) -> None:
    """Write a standardised Motion (metres, z-up) atomically; what is read back is equal to the last bit."""
    skeleton = motion.skeleton
    header = {
        "format": FORMAT,
        "version": VERSION,
        "name": motion.name,
        "joints": list(skeleton.names),
        "fps": motion.fps,
        "loop": motion.loop,
        "provenance": motion.provenance,
    }
    arrays = {
        "header": np.array(json.dumps(header)),
        "parents": skeleton.parents,
        "offsets": skeleton.offsets,
        "is_end": skeleton.is_end,
        "root_positions": motion.root_positions,
        "rotations": motion.rotations,
    }
    if motion.translations is not None:
        arrays["translations"] = motion.translations
    files.write_npz(path, arrays)
