"""The HIERARCHY of a BVH file: checked token by token with true line numbers, normalised, and built into a tree by bvhio.

Files in the wild have a byte order mark, braces on the same line, odd case, the whole header on one line, carriage
returns alone, names with spaces, colons or other alphabets. The scan accepts those, refuses what is broken with file
and line, and hands bvhio a header in which none of it is left: bvhio hangs or crashes on most (FACTS: 14 of 219 files).
"""

from __future__ import annotations

import bisect
import math
import re
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from motion.errors import InputError, MimicWarning, nearest

POSITIONS = ("Xposition", "Yposition", "Zposition")
ROTATIONS = ("Xrotation", "Yrotation", "Zrotation")
SCALES = ("Xscale", "Yscale", "Zscale")
CHANNELS = {name.lower(): name for name in POSITIONS + ROTATIONS + SCALES}

BVHIO_DEPTH = 100
"""Deepest chain given to bvhio, which recurses once a joint; real rigs stay below 40."""

NEW_LINE = re.compile(r"\r\n|\r|\n")
_TOKEN = re.compile(r"[{}]|[^\s{}]+")
_NAME = re.compile(r"[^\r\n{}]*")
_COMMENT = re.compile(r"(?m)^[ \t]*#[^\r\n]*")
_STRUCTURE = {"{", "}", "OFFSET", "CHANNELS", "JOINT", "END", "ROOT"}
_MOTION = re.compile(rb"(?i)(?<![^\s}])MOTION(?![^\s])")
_NAMING = re.compile(rb"(?i)\s*(ROOT|JOINT|END)\b")


@dataclass(slots=True)
class Node:
    """A ROOT, JOINT or End Site as the file declares it."""

    name: str
    """empty for an End Site until the tree is complete"""
    line: int
    depth: int
    is_end: bool
    offset: tuple[float, float, float] | None = None
    channels: list[str] | None = None
    """canonical names in file order, scale channels included"""

    @property
    def what(self) -> str:
        return f"joint {self.name}" if self.name else f"the End Site of line {self.line}"


@dataclass(slots=True)
class Header:
    """The declared tree, depth first, and where MOTION begins."""

    nodes: list[Node]
    parents: list[int]
    motion_at: int
    """byte offset just after the word MOTION"""
    columns: list[tuple[int, str]] = field(default_factory=list)
    """(node, channel) of every number in a row of MOTION"""

    def column(self, index: int) -> str:
        """A column's name for messages."""
        if index >= len(self.columns):
            return "beyond the last channel"
        node, channel = self.columns[index]
        return f"{channel} of {self.nodes[node].name}"


def warn(where: object, message: str) -> None:
    """Tell the user about something that is accepted all the same."""
    warnings.warn(f"{where}: {message}", MimicWarning, stacklevel=3)


def read_header(path: Path | str, data: bytes) -> Header:
    """Scan, check and build the hierarchy.

    Raises:
        InputError: with file and line, for anything that is not a BVH hierarchy followed by MOTION.
    """
    end, motion_at = _find_motion(data)
    scanner = _Scanner(path, _decode(path, data[:end]), ends_with="MOTION" if motion_at else "the end of the file")
    nodes = scanner.hierarchy()
    if motion_at is None:
        raise InputError(
            "expected MOTION after the hierarchy, found the end of the file",
            where=scanner.here,
            hint="the file holds a skeleton but no frames: export it with its animation",
        )
    parents = _parents_by_bvhio(nodes) if max(n.depth for n in nodes) <= BVHIO_DEPTH else _parents_by_depth(nodes)
    columns = [(i, channel) for i, node in enumerate(nodes) for channel in node.channels or ()]
    if not columns:
        raise InputError("expected at least one channel, found none", where=f"{path}:{nodes[0].line}")
    _name_uniquely(path, nodes, parents)
    return Header(nodes, parents, motion_at, columns)


def _find_motion(data: bytes) -> tuple[int, int | None]:
    """Where the header ends and the offset after the word MOTION (None: there is none); a joint may be named Motion."""
    for match in _MOTION.finditer(data):
        begin = max(data.rfind(mark, 0, match.start()) for mark in (b"\n", b"\r", b"{", b"}")) + 1
        if not _NAMING.match(data, begin, match.start()):
            return match.start(), match.end()
    return len(data), None


def _decode(path: Path | str, header: bytes) -> str:
    for encoding in ("utf-8-sig", "cp932"):
        try:
            text = header.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "cp932":
            warn(path, "names are not UTF-8; read as Shift-JIS")
        return text
    warn(path, "names are not UTF-8; read as Latin-1")
    return header.decode("latin-1")


class _Scanner:
    """A cursor over the header's text."""

    def __init__(self, path: Path | str, text: str, *, ends_with: str):
        self.path, self.ends_with = path, ends_with
        self.text = _COMMENT.sub(lambda match: " " * len(match[0]), text)
        self.breaks = [match.end() for match in NEW_LINE.finditer(text)]
        self.at = 0
        self.token_at = 0

    def line(self, at: int) -> int:
        return bisect.bisect_right(self.breaks, at) + 1

    @property
    def here(self) -> str:
        """File and line of the last token."""
        return f"{self.path}:{self.line(self.token_at)}"

    def peek(self) -> str | None:
        match = _TOKEN.search(self.text, self.at)
        return match[0] if match else None

    def next(self) -> str | None:
        match = _TOKEN.search(self.text, self.at)
        if match is None:
            self.at = self.token_at = len(self.text)
            return None
        self.at, self.token_at = match.end(), match.start()
        return match[0]

    def fail(self, expected: str, found: str | None, hint: str | None = None) -> InputError:
        return InputError(f"expected {expected}, found {found or self.ends_with}", where=self.here, hint=hint)

    def hierarchy(self) -> list[Node]:
        """All nodes, depth first."""
        token = self.next()
        if token is None or token.upper() != "HIERARCHY":
            raise self.fail("HIERARCHY at the beginning of a BVH file", token, "is this a BVH file?")
        token = self.next()
        if token is None or token.upper() != "ROOT":
            raise self.fail("ROOT", token)
        nodes = [self._open(0, is_end=False)]
        stack = [nodes[0]]
        while stack:
            node, token = stack[-1], self.next()
            keyword = (token or "").upper()
            if keyword == "}":
                self._close(stack.pop())
            elif keyword == "OFFSET" and node.offset is None:
                node.offset = self._offset(node)
            elif keyword == "CHANNELS" and node.channels is None and node is nodes[-1]:
                node.channels = self._channels(node)
            elif keyword in ("JOINT", "END") and not node.is_end:
                nodes.append(self._open(len(stack), is_end=keyword == "END"))
                stack.append(nodes[-1])
            elif token is None:
                raise self.fail(f"}} to close {node.what} of line {node.line}", None)
            else:
                raise self.fail(f"OFFSET, CHANNELS, JOINT, End Site or }} in {node.what}", token)
        token = self.next()
        if token is not None:
            hint = "one skeleton a file: split it" if token.upper() == "ROOT" else None
            hint = "there is one } too many" if token == "}" else hint
            raise self.fail("MOTION after the hierarchy", token, hint)
        return nodes

    def _open(self, depth: int, *, is_end: bool) -> Node:
        """The name and opening brace of a joint or End Site."""
        line = self.line(self.token_at)
        if is_end:
            token = self.next()
            if token is None or token.upper() != "SITE":
                raise self.fail("Site after End", token)
        match = _NAME.match(self.text, self.at)
        assert match is not None  # it matches the empty name too
        self.at = match.end()
        name = match[0].strip()
        if not is_end and not name:
            raise self.fail("a name after ROOT or JOINT", self.peek())
        node = Node("" if is_end else name, line, depth, is_end)
        token = self.next()
        if token != "{":
            raise self.fail(f"{{ after {node.what}", token)
        return node

    def _close(self, node: Node) -> None:
        if node.offset is None:
            raise InputError(f"expected OFFSET in {node.what}, found none", where=f"{self.path}:{node.line}")
        if node.channels is None and not node.is_end:
            warn(self.here, f"{node.what} has no CHANNELS; taken as fixed")

    def _words(self) -> list[str]:
        """Tokens up to the next one that belongs to the structure."""
        words = []
        while (token := self.peek()) is not None and token.upper() not in _STRUCTURE:
            words.append(token)
            self.next()
        return words

    def _offset(self, node: Node) -> tuple[float, float, float]:
        where, words = self.here, self._words()
        if len(words) != 3:
            raise InputError(f"expected 3 numbers after OFFSET of {node.what}, found {len(words)}", where=where)
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = [math.nan]
        if not all(map(math.isfinite, values)):
            raise InputError(
                f"expected 3 finite numbers after OFFSET of {node.what}, found {' '.join(words)!r}", where=where
            )
        return values[0], values[1], values[2]

    def _channels(self, node: Node) -> list[str]:
        where, words = self.here, self._words()
        count = words[0] if words else self.peek() or self.ends_with
        if not count.isdecimal():
            raise InputError(
                f"expected the number of channels after CHANNELS of {node.what}, found {count}", where=where
            )
        names = words[1:]
        for name in names:
            if name.lower() not in CHANNELS:
                hint = nearest(name, CHANNELS.values())
                raise InputError(f"expected a channel of {node.what}, found {name!r}", where=where, hint=hint)
        if int(count) != len(names):
            raise InputError(f"expected {count} channels of {node.what}, found {len(names)}", where=where)
        channels = [CHANNELS[name.lower()] for name in names]
        for channel in channels:
            if channel not in ROTATIONS and channels.count(channel) > 1:
                raise InputError(f"expected each position once in {node.what}, found {channel} twice", where=where)
        if any(channel in SCALES for channel in channels):
            warn(where, f"scale channels of {node.what} are ignored")
        if node.is_end and channels:
            warn(where, f"{node.what} has channels; taken as a joint")
            node.is_end = False
        return channels


def _parents_by_depth(nodes: list[Node]) -> list[int]:
    """Parent of each node of a depth-first list: the last one before it that is one level up."""
    last: dict[int, int] = {}
    parents = []
    for i, node in enumerate(nodes):
        parents.append(last[node.depth - 1] if node.depth else -1)
        last[node.depth] = i
    return parents


def _parents_by_bvhio(nodes: list[Node]) -> list[int]:
    """Parent of each node, from the tree that bvhio builds of the normalised header.

    Joints go in under their number, since bvhio wants names without spaces. End Sites are hung on afterwards: bvhio
    keeps one a joint, in single precision.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of its maths package, on import
        import bvhio  # here, since it is slow to import

    with tempfile.NamedTemporaryFile("w", suffix=".bvh", encoding="ascii") as file:
        file.write(_normalised(nodes))
        file.flush()
        root = bvhio.readAsBvh(file.name, loadKeyFrames=False).Root
    parents = [-1] * len(nodes)
    stack = [root]
    while stack:
        joint = stack.pop()
        for child in joint.Children:
            parents[int(child.Name)] = int(joint.Name)
            stack.append(child)
    owner: dict[int, int] = {}
    for i, node in enumerate(nodes):
        if node.is_end:
            parents[i] = owner[node.depth - 1]
        owner[node.depth] = i
    return parents


def _normalised(nodes: list[Node]) -> str:
    """The header as bvhio wants it: a token group a line, joints named by their number."""
    lines, depth = ["HIERARCHY"], 0
    for i, node in enumerate(nodes):
        lines += ["}"] * (depth - node.depth)
        depth = node.depth + 1
        lines += ["End Site" if node.is_end else f"{'JOINT' if i else 'ROOT'} {i}", "{"]
        lines.append("OFFSET {!r} {!r} {!r}".format(*node.offset or (0.0, 0.0, 0.0)))
        if not node.is_end:
            channels = node.channels or []
            lines.append(f"CHANNELS {len(channels)} {' '.join(channels)}")
    return "\n".join([*lines, *["}"] * depth, "MOTION", "Frames: 0", "Frame Time: 1", ""])


def _name_uniquely(path: Path | str, nodes: list[Node], parents: list[int]) -> None:
    """Number repeated joint names and call End Sites ``<parent>_end``."""
    taken: set[str] = set()
    repeated = set()
    for node in nodes:
        if node.name in taken:
            repeated.add(node.name)
            node.name = _free(node.name + "_", taken)
        if node.name:
            taken.add(node.name)
    for node, parent in zip(nodes, parents, strict=True):
        if not node.name:
            base = f"{nodes[parent].name}_end"
            node.name = _free(base, taken) if base in taken else base
            taken.add(node.name)
    if repeated:
        warn(path, f"joint names occur more than once and are numbered: {', '.join(sorted(repeated))}")


def _free(base: str, taken: set[str]) -> str:
    number = 2
    while f"{base}{number}" in taken:
        number += 1
    return f"{base}{number}"
