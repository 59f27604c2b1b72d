"""Reads a callgrind profile: what each part of the program executed itself, inlined code told by its source file."""

import collections
import re

# Where code belongs: the first pattern that is found in the source file's path, else in the function's name.
PARTS = [
    ("write heads", r"core/http/src/write|http::write"),
    ("frame bodies", r"core/http/src/(body|chunk|trailer)|http::(body|chunk|trailer)"),
    ("parse heads", r"core/http/|penstock_http|httparse|memchr"),
    ("route", r"core/gate/src/router|gate::router"),
    ("key", r"core/gate/src/(callers|identity)|gate::(callers|identity)|blake3|siphasher"),
    ("limits", r"core/limits/|core/gate/src/limits|penstock_limits|gate::limits"),
    ("gate: order of stages, ids, fields to add", r"core/gate/|penstock_gate|foldhash"),
    ("balance", r"core/balance/|penstock_balance"),
    ("drain and views", r"logring/analytics/|logring/ring/src/(reader|cursor)|penstock_analytics|ring::reader"),
    ("record", r"logring/|penstock_ring|rkyv|crc32c|dataplane/src/(record|call)|dataplane::(record|call)"),
    ("TLS", r"dataplane/src/tls|dataplane::tls|rustls|aws.lc"),
    ("deadlines", r"dataplane/src/deadline|dataplane::deadline"),
    ("pool of upstream connections", r"dataplane/src/upstream|dataplane::upstream"),
    ("read and send", r"dataplane/src/(port|stream|half|buf)|dataplane::(port|stream|half|buf)"),
    ("order of an exchange", r"proxy/|penstock"),
    ("runtime", r"monoio|io.uring|/mio-|mio::"),
]
ALLOCATES = re.compile(r"(mi_(heap_|theap_)?(m|c|z|re)alloc\w*|malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign)$")
LIBRARY = re.compile(r"/rustc/|/library/|\?\?\?|hashbrown|/alloc/|/core/src")


def part_of(file, function, binary):
    """Code of the standard library counts for the function that it was inlined into."""
    for text in ([function] if LIBRARY.search(file) else [file, function]):
        for part, pattern in PARTS:
            if re.search(pattern, text):
                return part
    return "standard library" if re.search(r"core::|alloc::|std::|hashbrown", function) else f"({binary})"


def read(lines):
    """Instructions by (file, function, object), calls not included; calls of the allocator from outside of it."""
    names = collections.defaultdict(dict)
    costs = collections.Counter()
    allocations = 0
    file = function = binary = callee = "?"
    called = False

    def name(kind, text):
        match = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if not match:
            return text
        if match[2] is not None:
            names[kind][match[1]] = match[2]
        return names[kind].get(match[1], "?")

    for line in lines:
        line = line.rstrip("\n")
        if called and re.match(r"[\d+*-]", line):
            called = False  # the cost of what was called
        elif match := re.match(r"(fl|fi|fe)=(.*)", line):
            file = name("file", match[2])
        elif match := re.match(r"fn=(.*)", line):
            function = name("function", match[1])
        elif match := re.match(r"ob=(.*)", line):
            binary = name("object", match[1]).rsplit("/", 1)[-1]
        elif match := re.match(r"(cfn|cfi|cfl|cob)=(.*)", line):
            named = name({"cfn": "function", "cob": "object"}.get(match[1], "file"), match[2])
            callee = named if match[1] == "cfn" else callee
        elif line.startswith("calls="):
            called = True
            if ALLOCATES.match(callee) and not ALLOCATES.match(function):
                allocations += int(line[6:].split()[0])
        elif match := re.match(r"(?:\+|-|\*|\d)\S* (\d+)$", line):
            costs[file, function, binary] += int(match[1])
    return costs, allocations


def report(lines, requests, rows):
    """Instructions a request: by part, and by function within a part. Allocations a request."""
    costs, allocations = read(lines)
    parts, functions = collections.Counter(), collections.Counter()
    for (file, function, binary), cost in costs.items():
        part = part_of(file, function, binary)
        parts[part] += cost
        short = re.sub(r"<|>::|::\{closure#?\d*\}|\{impl#\d+\}", "", re.sub(r"'\d+$", "", function))
        functions[part, f"{short[:90]} [{file.rsplit('/', 1)[-1]}]"] += cost
    total = sum(parts.values())
    table = [f"{total / requests:12,.0f}  all", *(f"{cost / requests:12,.0f}  {part}" for part, cost in parts.most_common())]
    return allocations / requests, table, [f"{cost / requests:12,.0f}  {part}: {function}" for (part, function), cost in functions.most_common(rows)]
