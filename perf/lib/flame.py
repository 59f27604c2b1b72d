"""Stacks of `perf script` folded to counts, and drawn as a flame graph in SVG (after Gregg, CACM 59(6), 2016)."""

import html
import re
from collections import Counter

WIDTH = 1400
ROW = 17
CHARACTER = 6.6
NARROWEST = 0.3
STYLE = "text{font:11px monospace;pointer-events:none} rect{stroke:#fff;stroke-width:.4}"


def fold(script):
    """Stacks of `perf script -F comm,ip,sym` as {(root, ..., leaf): samples}."""
    stacks, frames, thread = Counter(), [], None
    for line in [*script.splitlines(), ""]:
        if not line.strip():
            if thread is not None:
                stacks[(thread, *reversed(frames))] += 1
            frames, thread = [], None
        elif not line[0].isspace():
            thread = line.split()[0]
        elif thread is None:
            thread = line.strip().split()[0]
        else:
            words = line.split(None, 1)
            frames.append(name(words[1] if len(words) > 1 else "?"))
    return stacks


def name(symbol):
    """A symbol without its offset, its crate's hash and its object file."""
    symbol = re.sub(r"\s+\([^()]*\)$", "", symbol.strip())
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol)
    return re.sub(r"::h[0-9a-f]{16}$", "", symbol) or "?"


def folded(stacks):
    """One line a stack, as other tools read it."""
    return "".join(f"{';'.join(stack)} {count}\n" for stack, count in sorted(stacks.items()))


def top(stacks, rows=40):
    """The functions in which time is spent, by themselves and with all that they call."""
    total = sum(stacks.values()) or 1
    own, within = Counter(), Counter()
    for stack, count in stacks.items():
        own[stack[-1]] += count
        for frame in set(stack):
            within[frame] += count
    lines = [f"{total} samples", "   self  total  function"]
    for frame, count in own.most_common(rows):
        lines.append(f"{count / total:7.1%} {within[frame] / total:6.1%}  {frame}")
    return "\n".join(lines) + "\n"


class _Node:
    def __init__(self):
        self.samples = 0
        self.below = {}

    def depth(self):
        return 1 + max((node.depth() for node in self.below.values()), default=0)


def svg(stacks, title):
    """The graph: width is samples, roots at the bottom."""
    root = _Node()
    for stack, count in stacks.items():
        node = root
        node.samples += count
        for frame in stack:
            node = node.below.setdefault(frame, _Node())
            node.samples += count
    total = root.samples or 1
    height = (root.depth() + 2) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="4" y="13">{html.escape(title)}: {total} samples</text>',
    ]

    def draw(node, label, left, level):
        width = node.samples / total * WIDTH
        if width < NARROWEST:
            return
        if label is not None:
            top_edge = height - (level + 1) * ROW
            told = html.escape(f"{label}: {node.samples} samples, {node.samples / total:.1%}")
            parts.append(
                f'<rect x="{left:.1f}" y="{top_edge}" width="{width:.1f}" height="{ROW - 1}" fill="{colour(label)}">'
                f"<title>{told}</title></rect>"
            )
            if (room := int((width - 4) / CHARACTER)) >= 3:
                text = label if len(label) <= room else label[: room - 1] + "…"
                parts.append(f'<text x="{left + 2:.1f}" y="{top_edge + 12}">{html.escape(text)}</text>')
        for below, child in sorted(node.below.items()):
            draw(child, below, left, level + (label is not None))
            left += child.samples / total * WIDTH

    draw(root, None, 0.0, 0)
    return "\n".join([*parts, "</svg>\n"])


def colour(label):
    """Warm for programs, cool for names of the kernel's kind; the same name has the same colour in every graph."""
    spread = sum(ord(character) * (index + 1) for index, character in enumerate(label)) % 60
    rust = "::" in label or "<" in label
    return f"hsl({20 + spread // 2},85%,{60 + spread % 12}%)" if rust else f"hsl({185 + spread // 2},45%,{68 + spread % 12}%)"
