"""A graph's noodles as ComfyUI's front end draws them (1.32, links as splines), and where two of them cross.

All positions are in units of the canvas, y downwards. What is computed here is compared with what the front end draws
by tests/browser/test_graphs.py.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

SLOT_HEIGHT = 20
REACH = 0.25  # of a curve's length: how far its control points lie from its ends
REACH_AT_REROUTE = 20  # at most, at a reroute: the setting LiteGraph.Reroute.SplineOffset
PIECES = 24  # straight ones, which stand for a curve

Graph = dict[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A cubic Bezier curve: from a socket or reroute to the next one.

    origin: node and output that it comes from. links: that it is drawn for. points: start, two control points, end."""

    origin: tuple[int, int]
    links: tuple[int, ...]
    points: tuple[Point, Point, Point, Point]

    def pieces(self) -> np.ndarray:
        """Points on the curve: (PIECES + 1, 2)."""
        t = np.linspace(0.0, 1.0, PIECES + 1)[:, None]
        a, b, c, d = (np.array(point) for point in self.points)
        return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def curves(graph: Graph) -> list[Curve]:
    """Every curve of a graph in the format of the front end, each once: links of one output share what lies before
    their common reroutes."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    ways = _Ways(graph, nodes)
    drawn: list[Curve] = []
    seen: set[int] = set()
    for link, source, output, *_ in graph["links"]:
        origin, at, leaving = (source, output), output_place(nodes[source], output), None
        for number in ways.reroutes_of[link]:
            here, heading = ways.place(number), ways.heading(number, at)
            if number not in seen:
                seen.add(number)
                back = min(REACH_AT_REROUTE, REACH * math.dist(at, here))
                start = leaving or (at[0] + REACH * math.dist(at, here), at[1])
                drawn.append(Curve(origin, ways.links_through(number), (at, start, _ahead(here, heading, -back), here)))
            reach = min(REACH_AT_REROUTE, REACH * math.dist(here, ways.following(number, link)))
            leaving, at = _ahead(here, heading, reach), here
        end = ways.ends[link]
        reach = REACH * math.dist(at, end)
        start = leaving or (at[0] + reach, at[1])
        drawn.append(Curve(origin, (link,), (at, start, (end[0] - reach, end[1]), end)))
    return drawn


def crossings(graph: Graph) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Each point at which two noodles cross, as the links of both. Noodles of one output are one noodle."""
    found = []
    whole = [(curve, curve.pieces()) for curve in curves(graph)]
    for (one, a), (other, b) in itertools.combinations(whole, 2):
        if one.origin != other.origin and (a.min(0) <= b.max(0)).all() and (b.min(0) <= a.max(0)).all():
            found += [(one.links, other.links)] * _meetings(a, b)
    return found


def input_place(node: Graph, entry: int) -> Point:
    """Where an input's dot is. Inputs that are widgets take no row of their own."""
    row = sum("widget" not in slot for slot in node["inputs"][:entry])
    return node["pos"][0] + SLOT_HEIGHT / 2, node["pos"][1] + (row + 0.7) * SLOT_HEIGHT


def output_place(node: Graph, output: int) -> Point:
    """Where an output's dot is."""
    right = node["pos"][0] + node["size"][0]
    return right + 1 - SLOT_HEIGHT / 2, node["pos"][1] + (output + 0.7) * SLOT_HEIGHT


class _Ways:
    """The reroutes that each link runs through, from its output on, and the input where it ends."""

    def __init__(self, graph: Graph, nodes: dict[int, Graph]) -> None:
        self._reroutes = {reroute["id"]: reroute for reroute in graph["extra"].get("reroutes", [])}
        last = {extension["id"]: extension["parentId"] for extension in graph["extra"].get("linkExtensions", [])}
        self.ends = {link: input_place(nodes[target], entry) for link, _, _, target, entry, _ in graph["links"]}
        self.reroutes_of = {link: self._up_to(last.get(link)) for link in self.ends}

    def place(self, reroute: int) -> Point:
        x, y = self._reroutes[reroute]["pos"]
        return x, y

    def links_through(self, reroute: int) -> tuple[int, ...]:
        return tuple(self._reroutes[reroute]["linkIds"])

    def following(self, reroute: int, link: int) -> Point:
        """The next reroute, or the input, that a link goes to from a reroute."""
        after = self.reroutes_of[link][self.reroutes_of[link].index(reroute) + 1 :]
        return self.place(after[0]) if after else self.ends[link]

    def heading(self, reroute: int, before: Point) -> float:
        """The angle at which noodles run through a reroute: between where they come from and, on average, go to."""
        here, links = self.place(reroute), self.links_through(reroute)
        coming = _angle(before, here)
        turn = (coming - sum(_angle(here, self.following(reroute, link)) for link in links) / len(links)) / 2
        if abs(turn) > math.pi / 2:
            turn += math.pi
        return coming - turn

    def _up_to(self, reroute: int | None) -> list[int]:
        way: list[int] = []
        while reroute is not None:
            way.insert(0, reroute)
            reroute = self._reroutes[reroute].get("parentId")
        return way


def _angle(a: Point, b: Point) -> float:
    return math.atan2(b[1] - a[1], b[0] - a[0])


def _ahead(point: Point, angle: float, reach: float) -> Point:
    return point[0] + reach * math.cos(angle), point[1] + reach * math.sin(angle)


def _meetings(a: np.ndarray, b: np.ndarray) -> int:
    """How often two chains of straight pieces cross. A point on a line counts as on its one side, so that a crossing at
    a joint is counted once."""
    p, q, r, s = a[:-1, None], a[1:, None], b[None, :-1], b[None, 1:]
    return int(((_left(p, q, r) != _left(p, q, s)) & (_left(r, s, p) != _left(r, s, q))).sum())


def _left(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Whether c lies to the left of the line from a to b."""
    u, v = b - a, c - a
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0] > 0
