"""The results as plots: PNGs as wide as a README, ours in colour, the others in greys and light lines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")  # before pyplot looks for a screen

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks import figures, table
from benchmarks.children import CHILDREN
from benchmarks.programs import OURS, Way
from benchmarks.spread import Spread

_OURS: Final = "#c1440e"
_OWN_CHILD: Final = "#3b6ea5"
_SHARED: Final = "#a9b4c0"
_INK: Final = "#333333"
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": _INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "figure.dpi": 100,
    "savefig.dpi": 160,
}

Results = Mapping[str, Any]


def draw(results: Results, directory: Path) -> None:
    """All plots, into `directory`; one of which nothing is known is not drawn."""
    with mpl.rc_context(_STYLE):
        _save(_opening(results), directory / figures.OPENING)
        _save(
            _lines(results, figures.processor, "Processor time of the bridge for one call, ms"),
            directory / figures.PROCESSOR,
        )
        _save(_lines(results, figures.weight, "Memory of the bridge for each session, KiB"), directory / figures.MEMORY)


def _save(figure: Figure | None, path: Path) -> None:
    if figure is not None:
        # Nothing in the file but the picture, so that the same results are the same file.
        figure.savefig(path, metadata={"Software": None})
        pyplot.close(figure)


def _colour(results: Results, way: Way) -> str:
    if way.program == OURS:
        return _OURS
    return _OWN_CHILD if figures.has_own_child(results, way) in ("yes", figures.NOTHING) else _SHARED


def _label(way: Way) -> str:
    return f"{way.title}, with spares" if way.warm else way.title


def _opening(results: Results) -> Figure | None:
    children = figures.children_in(results)
    ways = [way for way in figures.ways_in(results) if any(_has_opening(results, way, child) for child in children)]
    if not ways:
        return None
    # The quickest on the child that takes longest to start is at the top.
    ways.sort(key=lambda way: _median(results, way, children[-1]) or 0.0, reverse=True)
    figure, axes = pyplot.subplots(
        1, len(children), figsize=(10, 1.5 + 0.3 * len(ways)), sharey=True, squeeze=False, layout="constrained"
    )
    for each, child in zip(axes[0], children, strict=True):
        _bars(each, results, ways, child)
        each.set_title(CHILDREN[child].title)
    axes[0][0].set_yticks(range(len(ways)), [_label(way) for way in ways])
    for label, way in zip(axes[0][0].get_yticklabels(), ways, strict=True):
        if way.program == OURS:
            label.set_color(_OURS)
            label.set_fontweight("bold")
    figure.suptitle("Time to open a session, one at a time, ms", x=0.01, ha="left", fontweight="bold")
    _key(figure)
    return figure


def _has_opening(results: Results, way: Way, child: str) -> bool:
    return _median(results, way, child) is not None


def _median(results: Results, way: Way, child: str) -> float | None:
    found = figures.figure(results, way.name, child, figures.opening("alone"))
    return found.spread.median if found else None


def _bars(axes: Axes, results: Results, ways: Sequence[Way], child: str) -> None:
    widest = 0.0
    for place, way in enumerate(ways):
        found = figures.figure(results, way.name, child, figures.opening("alone"))
        if found is None:
            continue
        middle, least, most = found.spread.median, found.spread.least, found.spread.most
        axes.barh(place, middle, height=0.68, color=_colour(results, way))
        axes.plot([least, most], [place, place], color=_INK, linewidth=1)
        axes.annotate(
            f"{table.number(middle)}",
            (most, place),
            textcoords="offset points",
            xytext=(4, 0),
            va="center",
            fontsize=8.5,
        )
        widest = max(widest, most)
    axes.set_xlim(0, 1.22 * widest or 1)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)


def _key(figure: Figure) -> None:
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in (_OURS, _OWN_CHILD, _SHARED)]
    names = ["this gateway", "others with a child for each session", "others with one child for everybody"]
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _lines(results: Results, pick: Any, title: str) -> Figure | None:
    lines: list[tuple[Way, dict[int, Spread]]] = []
    for way in figures.ways_in(results):
        found = {
            count: figures.figure(results, way.name, "trivial", pick(count)) for count in figures.counts_in(results)
        }
        points = {count: each.spread for count, each in found.items() if each}
        if points and way.door != "pipe" and not way.warm:
            lines.append((way, points))
    if not lines:
        return None
    counts = sorted({count for _, points in lines for count in points})
    figure, axes = pyplot.subplots(figsize=(10, 5), layout="constrained")
    for way, points in lines:
        colour, xs = _colour(results, way), list(points)
        middle = [each.median for each in points.values()]
        ours = way.program == OURS
        style = {"Streamable HTTP": "-", "HTTP+SSE": "--", "REST": ":"}[way.door]
        axes.plot(
            xs, middle, style, color=colour, linewidth=2.4 if ours else 1.5, marker="o", markersize=4, zorder=2 + ours
        )
        least, most = [e.least for e in points.values()], [e.most for e in points.values()]
        axes.fill_between(xs, least, most, color=colour, alpha=0.10, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if f"{value:e}"[0] in "25" else ""))
    axes.tick_params(axis="y", which="minor", labelsize=8)
    axes.grid(axis="y", which="major", color="#dddddd", linewidth=0.6)
    axes.set_xlabel("sessions")
    axes.set_xlim(counts[0] * 0.9, counts[-1] * 1.1)
    _name(axes, figure, [(way, list(points.items())[-1], _colour(results, way)) for way, points in lines])
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    _key(figure)
    return figure


def _name(axes: Axes, figure: Figure, ends: Sequence[Any]) -> None:
    """The name of each line at the right, one below the other where they would stand upon each other."""
    figure.canvas.draw()
    bottom, top = axes.get_ylim()
    height = axes.get_window_extent().height
    wanted = []
    for way, (_, point), colour in ends:
        at = axes.transData.transform((1, point.median))[1] - axes.get_window_extent().y0
        wanted.append((at, way, colour))
    wanted.sort(key=lambda each: each[0])
    step, places, last = 15.0, [], -1e9
    for at, way, colour in wanted:
        last = max(at, last + step)
        places.append((last, way, colour))
    over = max(0.0, places[-1][0] - height) if places else 0.0
    del bottom, top
    for at, way, colour in places:
        axes.annotate(
            _label(way),
            xy=(1, (at - over) / height),
            xycoords="axes fraction",
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=colour if colour != _SHARED else "#77828e",
            fontweight="bold" if way.program == OURS else "normal",
            annotation_clip=False,
        )
