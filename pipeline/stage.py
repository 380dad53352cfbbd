"""The scene of the viewer: ground, figures and what lights up, as nodes of viser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import viser

from motion import rotation
from motion.rotation import Array
from pipeline.figure import CONTACT
from pipeline.solids import capsule
from pipeline.takes import STACKED, Layer, Take, heading

NEWTONS = 400.0
"""a push that is drawn a metre long"""
NAME = 1.15
"""of a figure's height, where its name is"""
CELL = 0.5
"""metres, side of a ground square"""
BACK, UP, TURN = 1.7, 0.35, np.radians(60.0)
"""the camera: of the body's height, its distance and how far above; from the direction of travel, to the right"""


class _Figure:
    """A layer's nodes: a mesh for each part, and once it touches the ground one more that is lit.

    Poses and what is visible reach a picture together; a changed colour would come pictures later.
    """

    def __init__(self, server: viser.ViserServer, layer: Layer):
        self._server, self.layer = server, layer
        self.frame = server.scene.add_frame(f"/world/{layer.name}", show_axes=False)
        self.parts = {
            part: self._mesh(part, str(part), layer.colours[part])
            for part, mesh in enumerate(layer.meshes)
            if len(mesh.faces)
        }
        self._lit = {part: self._mesh(part, f"{part}_lit", CONTACT) for part in self.parts if layer.lit[:, part].any()}
        self.label = server.scene.add_label(
            f"/names/{layer.name}", layer.label, anchor="bottom-center", font_screen_scale=1.1
        )

    def _mesh(self, part: int, name: str, colour: Array) -> viser.MeshHandle:
        mesh, solid = self.layer.meshes[part], self.layer.opacity == 1
        return self._server.scene.add_mesh_simple(
            f"/world/{self.layer.name}/{name}",
            mesh.vertices,
            mesh.faces,
            color=tuple(np.round(255 * colour).astype(int)),
            opacity=None if solid else self.layer.opacity,
            cast_shadow=solid,
        )

    def draw(self, take: Take, seconds: float, cycle: int, aside: bool, place: Array) -> None:
        layer = self.layer
        turn = rotation.from_yaw(np.float64(layer.cycle.yaw * cycle))
        shift = layer.cycle.power(cycle) + (layer.aside if aside else 0.0)
        self.frame.position, self.frame.wxyz = shift, turn
        positions, rotations, lit = take.at(layer, seconds)
        for part, node in self.parts.items():
            if lit[part] and part not in self._lit:  # of a policy, which foot will stand is not known before
                self._lit[part] = self._mesh(part, f"{part}_lit", CONTACT)
            if part in self._lit:
                on, off = (self._lit[part], node) if lit[part] else (node, self._lit[part])
                on.visible, off.visible, node = True, False, on
            node.position, node.wxyz = positions[part], rotations[part]
        # not in the moving world, where a browser would draw the name late
        over = shift + rotation.rotate(turn, positions[0]) - place
        above = NAME + (STACKED if layer.name == "reference" and not aside else 0.0)
        self.label.position = (over[0], over[1], above * layer.height)

    def remove(self) -> None:
        self.frame.remove()
        self.label.remove()


class Stage:
    """The scene on a server: empty until `show`."""

    def __init__(self, server: viser.ViserServer):
        self._server, scene = server, server.scene
        scene.set_up_direction("+z")
        scene.configure_default_lights(cast_shadow=True)
        self._world = scene.add_frame("/world", show_axes=False)
        self._ground = scene.add_grid(
            "/ground",
            infinite_grid=True,
            cell_size=CELL,
            section_size=4 * CELL,
            cell_color=(205, 209, 216),
            section_color=(160, 166, 176),
            fade_distance=25.0,
            shadow_opacity=0.3,
            plane_color=(236, 238, 242),
            plane_opacity=1.0,
        )
        shaft = capsule(0.02, 0.94)  # a metre long when its lowest point is the origin
        self._arrow = scene.add_mesh_simple(
            "/world/push", shaft.vertices + [0.0, 0.0, 0.49], shaft.faces, color=(213, 94, 0), visible=False
        )
        self._figures: dict[str, _Figure] = {}
        server.on_client_connect(lambda client: self._look(client))

    def node(self, layer: str, part: int) -> viser.MeshHandle:
        """The mesh of a part of a layer."""
        return self._figures[layer].parts[part]

    def switches(self, gui: viser.GuiApi) -> list[tuple[Any, Callable[[], None]]]:
        """Checkboxes of what is shown, each with what to do when it changes."""
        self._shown = {name: gui.add_checkbox(name, True) for name in ("source", "reference", "body")}
        self._aside = gui.add_checkbox("reference apart", False)
        self._labels = gui.add_checkbox("names", True)
        self._grid = gui.add_checkbox("ground", True)
        self._follow = gui.add_checkbox("camera follows", True)
        everything = [*self._shown.values(), self._aside, self._labels, self._grid, self._follow]
        return [(switch, self._apply) for switch in everything]

    def _apply(self) -> None:
        for name, figure in self._figures.items():
            shown = self._shown[name.split()[0]].value
            figure.frame.visible, figure.label.visible = shown, shown and self._labels.value
        self._ground.visible = self._grid.value

    def show(self, take: Take) -> None:
        """Put up a take's figures, in place of those before."""
        with self._server.atomic():
            for figure in self._figures.values():
                figure.remove()
            self._figures = {layer.name: _Figure(self._server, layer) for layer in take.layers}
            for name, switch in self._shown.items():
                switch.visible = any(figure.split()[0] == name for figure in self._figures)
            self._aside.visible = "reference" in self._figures
            self._arrow.visible = False
            self._apply()
        self._take = take
        for client in self._server.get_clients().values():
            self._look(client)

    def _look(self, client: viser.ClientHandle) -> None:
        """Turn a browser's camera to the figures: from the right of their way."""
        take, side = self._take, heading(self._take.main)
        tall = max(layer.height for layer in take.layers)
        away = BACK * tall + 0.5 * float(np.abs([layer.aside for layer in take.layers]).max())
        middle = np.mean([layer.aside for layer in take.layers], axis=0) if len(take.layers) > 1 else np.zeros(3)
        start = np.zeros(3) if self._follow.value else take.main.path[0]
        target = start + [0.0, 0.0, 0.5 * tall] + 0.5 * middle
        client.camera.up_direction = (0.0, 0.0, 1.0)
        client.camera.position = target + [
            away * np.cos(side - TURN),
            away * np.sin(side - TURN),
            UP * tall,
        ]
        client.camera.look_at = target

    def draw(self, take: Take, seconds: float, force: Array | None = None) -> None:
        """Move everything to a time in seconds, cycles included; ``force`` (3,) newtons is drawn as an arrow at the root."""
        cycle, within = divmod(seconds, take.duration) if take.loop else (0, seconds)
        main = take.main
        frame = min(round(within * take.fps), take.frames - 1)
        at = main.cycle.power(int(cycle)) + rotation.rotate(
            rotation.from_yaw(np.float64(main.cycle.yaw * cycle)), main.path[frame]
        )
        place = at * [1.0, 1.0, 0.0] if self._follow.value else np.zeros(3)
        self._world.position = -place
        self._ground.position = -np.fmod(place, 4 * CELL)
        for figure in self._figures.values():
            figure.draw(take, within, int(cycle), self._aside.value or figure.layer.name != "reference", place)
        pushed = force is not None and bool(np.any(force))
        if pushed != self._arrow.visible:
            self._arrow.visible = pushed
        if pushed and force is not None:
            size = float(np.linalg.norm(force))
            self._arrow.wxyz = rotation.between(np.array([0.0, 0.0, 1.0]), force / size)
            self._arrow.position = main.positions[frame, 0] - force / NEWTONS
            self._arrow.scale = (1.0, 1.0, size / NEWTONS)
