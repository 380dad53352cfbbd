"""An XML file whose elements know their line, so that an error can name it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET
from xml.parsers import expat

import numpy as np

from motion import rotation
from motion.errors import InputError
from motion.rotation import Array


class XmlFile:
    """A parsed XML file that knows the line of every element."""

    def __init__(self, path: Path):
        self.path = path
        self.lines: dict[int, int] = {}
        self.kept: list[ET.Element] = []
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise InputError("no such file", where=path) from error
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror or error}", where=path) from error
        body = content.lstrip()  # blank lines before the declaration and a final NUL occur in the wild
        self.skipped = content[: len(content) - len(body)].count(b"\n")
        builder, parser = ET.TreeBuilder(), expat.ParserCreate()

        def start(tag: str, attributes: dict[str, str]) -> None:
            element = builder.start(tag, attributes)
            self.lines[id(element)] = parser.CurrentLineNumber + self.skipped
            self.kept.append(element)

        def end(tag: str) -> None:
            builder.end(tag)

        parser.StartElementHandler, parser.EndElementHandler = start, end
        try:
            parser.Parse(body.rstrip(b"\0"), True)
        except expat.ExpatError as error:
            where = f"{path}:{error.lineno + self.skipped}"
            raise InputError(f"not valid XML: {expat.ErrorString(error.code)}", where=where) from error
        except (ValueError, LookupError) as error:  # encodings expat leaves to Python
            raise InputError(f"not valid XML: {error}", where=path) from error
        self.root = builder.close()

    def where(self, element: ET.Element) -> str:
        return f"{self.path}:{self.lines[id(element)]}"

    def text(self, element: ET.Element, key: str) -> str:
        """An attribute that must be there."""
        value = element.get(key)
        if value is None:
            raise InputError(f'<{element.tag}> needs {key}="…"', where=self.where(element))
        return value

    def child(self, element: ET.Element, tag: str) -> ET.Element:
        """A child element that must be there."""
        found = element.find(tag)
        if found is None:
            raise InputError(f"<{element.tag}> needs a <{tag}>", where=self.where(element))
        return found

    def numbers(self, element: ET.Element | None, key: str, default: tuple[float, ...]) -> Array:
        """As many finite numbers as ``default`` has, or ``default`` where the attribute is missing."""
        value = None if element is None else element.get(key)
        if element is None or value is None:
            return np.array(default)
        try:
            found = np.array([float(part) for part in value.split()])
        except ValueError:
            found = np.zeros(0)
        if len(found) != len(default) or not np.isfinite(found).all():
            count = "a finite number" if len(default) == 1 else f"{len(default)} finite numbers"
            raise InputError(f'{key}: expected {count}, found "{value}"', where=self.where(element))
        return found

    def number(self, element: ET.Element | None, key: str, default: float) -> float:
        return float(self.numbers(element, key, (default,))[0])

    def pose(self, element: ET.Element) -> tuple[Array, Array]:
        """The ``<origin>`` of an element: position (3,) and rotation (4,). rpy are turns about fixed x, y, z."""
        origin = element.find("origin")
        rpy = self.numbers(origin, "rpy", (0.0, 0.0, 0.0))
        return self.numbers(origin, "xyz", (0.0, 0.0, 0.0)), rotation.from_euler("zyx", rpy[::-1])
