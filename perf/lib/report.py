"""Results as JSON and as a Markdown table."""

import datetime
import json
import os
import platform
import re
from statistics import median

from .statistics_of_rounds import paired_difference


def machine():
    """What the figures depend on."""
    with open("/proc/cpuinfo") as cpuinfo:
        text = cpuinfo.read()
    model = re.search(r"model name\s*:\s*(.+)", text)
    return {
        "cpu": model[1].strip() if model else "unknown",
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_average_before": os.getloadavg()[0],
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def summary(rounds, base_name):
    """Medians of each system, and its CPU time against the base round by round."""
    rows = {}
    for name, figures in rounds.items():
        row = {key: median(figure[key] for figure in figures) for key in figures[0]}
        cpu = [figure["cpu_us"] for figure in figures]
        row["cpu_us_range"] = (min(cpu), max(cpu))
        if base_name in rounds and name != base_name:
            base = [figure["cpu_us"] for figure in rounds[base_name]]
            row["cpu_us_above_base"], row["cpu_us_above_base_interval"] = paired_difference(cpu, base)
        rows[name] = row
    return rows


def table(scenario, rows, base_name, round_count):
    """One scenario as Markdown."""
    lines = [f"## {scenario.name}: {scenario.describes}", "", f"{round_count} interleaved rounds, medians.", ""]
    lines.append(
        f"| system | CPU us/{scenario.unit} (range) | above {base_name} (95 %) | {scenario.unit}/s one core could do "
        f"| {scenario.unit}/s measured | core busy | p50 us | p99 us | RSS MB |"
    )
    lines.append("| --- " * 9 + "|")
    for name, row in sorted(rows.items(), key=lambda item: item[1]["cpu_us"]):
        low, high = row["cpu_us_range"]
        above = "-"
        if "cpu_us_above_base" in row:
            above = f"{row['cpu_us_above_base']:+.2f}"
            interval = row["cpu_us_above_base_interval"]
            above += f" ({interval[0]:+.2f} to {interval[1]:+.2f})" if interval else " (too few rounds)"
        lines.append(
            f"| {name} | {row['cpu_us']:.2f} ({low:.2f} to {high:.2f}) | {above} | {1e6 / row['cpu_us']:,.0f} "
            f"| {row['per_s']:,.0f} | {row['busy'] * 100:.0f} % | {row['p50_us']:,.0f} | {row['p99_us']:,.0f} "
            f"| {row['rss_bytes'] / 1e6:.1f} |"
        )
    return "\n".join(lines) + "\n"


def idle_table(scenario, rows):
    """The idle scenario as Markdown."""
    lines = [f"## {scenario.name}: {scenario.describes}", ""]
    lines.append("| system | connections | RSS before MB | RSS with them MB | bytes a connection | CPU ms a second idle |")
    lines.append("| --- " * 6 + "|")
    for name, row in sorted(rows.items(), key=lambda item: item[1]["bytes_per_connection"]):
        lines.append(
            f"| {name} | {row['connections']:,} | {row['rss_before'] / 1e6:.1f} | {row['rss_after'] / 1e6:.1f} "
            f"| {row['bytes_per_connection']:,.0f} | {row['idle_cpu_ms_per_s']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def head(about, versions, words):
    """What stands above the tables."""
    peers = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return (
        f"# Side by side, {about['date']}\n\n"
        f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}. `{words}`. Load average before the run "
        f"{about['load_average_before']:.1f} (more than 0.5: others took part of the machine).\n\n"
        f"System under test on core 0, load and upstream on core 1. CPU is user and system time of all threads of the "
        f"system's processes. {peers}.\n"
    )


def write(folder, stem, markdown, data):
    """Writes both files; returns their paths."""
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, f"{stem}.{kind}") for kind in ("md", "json")]
    with open(paths[0], "w") as file:
        file.write(markdown)
    with open(paths[1], "w") as file:
        json.dump(data, file, indent=1)
        file.write("\n")
    return paths
