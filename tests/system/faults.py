"""Peers that break every rule: an upstream that answers each path with another fault, and clients that do the like.
Every call has the ends that are allowed for it and a time within which one of them must come."""

import asyncio
import collections
import json
import random
import socket
import ssl
import struct
import threading

# By far more than the sum of the timeouts that the gateway is given.
CALL_SECONDS_MAX = 25
BIG_BYTES = 2 << 20
SLOW_STEP = 16 << 10
PIECE = bytes(range(256)) * 64
PROBLEM_BROKEN = {(502, "upstream_reset"), (502, "upstream_closed_early")}
PROBLEM_LATE = {(504, "upstream_first_byte_timeout"), (504, "upstream_idle_timeout")}
# What any call may get while there are no descriptors left.
PROBLEM_SCARCE = {(503, "overloaded")}
CUT = "cut"
WHOLE = "whole"

# The ends that a call may have, by what the upstream does.
UPSTREAM_FAULTS = {
    "ok": {WHOLE},
    "chunked": {WHOLE},
    "until_close": {WHOLE},
    "big": {WHOLE},
    "drip": {WHOLE},
    "half_close": {WHOLE},
    "stray": {WHOLE},
    "reset_before": PROBLEM_BROKEN,
    "close_before": PROBLEM_BROKEN,
    "reset_head": PROBLEM_BROKEN,
    "close_head": PROBLEM_BROKEN,
    "garbage": {(502, "upstream_bad_response")},
    "two_lengths": {(502, "upstream_bad_response")},
    "long_head": {(502, "upstream_head_too_large")},
    "interim": {(502, "upstream_too_many_interim")},
    "stall": PROBLEM_LATE,
    "stall_head": PROBLEM_LATE,
    # Once a part has gone out only the end of the connection can tell; before that there is an answer.
    "reset_body": {CUT} | PROBLEM_BROKEN,
    "close_body": {CUT} | PROBLEM_BROKEN,
    "bad_chunk": {CUT, (502, "upstream_bad_response")},
    "stall_body": {CUT} | PROBLEM_LATE,
}


class Broken(Exception):
    """A call ended otherwise than it may."""


class Cut(Exception):
    """The connection ended before the answer was complete."""


def reset(writer):
    """Closes so that the peer sees a reset."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def until_end(reader):
    """Reads to the end of the peer's bytes, however it ends."""
    try:
        while await reader.read(1 << 16):
            pass
    except (OSError, asyncio.IncompleteReadError):
        pass


class FaultyUpstream:
    """Does what the last segment of the path names. Runs on a thread and an event loop of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()

        def run():
            asyncio.set_event_loop(self.loop)
            self.server = self.loop.run_until_complete(
                asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1024))
            self.port = self.server.sockets[0].getsockname()[1]
            started.set()
            self.loop.run_forever()

        threading.Thread(target=run, daemon=True).start()
        started.wait()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fault = head.split(b" ", 2)[1].split(b"?")[0].rsplit(b"/", 1)[-1].decode()
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                if length:
                    await reader.readexactly(length)
                if not await self.answer(fault, reader, writer):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def answer(self, fault, reader, writer):
        """Whether the connection lives on."""
        put = writer.write
        if fault == "chunked":
            put(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        elif fault == "until_close":
            put(b"HTTP/1.1 200 OK\r\n\r\nabcde")
            return False
        elif fault == "big":
            put(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG_BYTES)
            for _ in range(BIG_BYTES // len(PIECE)):
                put(PIECE)
                await writer.drain()
        elif fault == "drip":
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde":
                put(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.005)  # the pace of the drip
        elif fault == "half_close":
            put(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde")
            writer.write_eof()
            await until_end(reader)
            return False
        elif fault == "stray":
            put(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdeHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        elif fault in ("reset_before", "reset_head", "reset_body"):
            put({
                "reset_before": b"",
                "reset_head": b"HTTP/1.1 200 OK\r\nConte",
                "reset_body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            }[fault])
            reset(writer)
            return False
        elif fault in ("close_before", "close_head", "close_body"):
            put({
                "close_before": b"",
                "close_head": b"HTTP/1.1 200 OK\r\nConte",
                "close_body": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            }[fault])
            return False
        elif fault == "garbage":
            put(random.randbytes(200) + b"\r\n\r\n")
            await until_end(reader)
            return False
        elif fault == "two_lengths":
            put(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
        elif fault == "long_head":
            put(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(200):
                put(b"x" * 1000)
                await writer.drain()
            await until_end(reader)
            return False
        elif fault == "interim":
            put(b"HTTP/1.1 102 Processing\r\n\r\n" * 40)
            await until_end(reader)
            return False
        elif fault in ("stall", "stall_head", "stall_body", "bad_chunk"):
            put({
                "stall": b"",
                "stall_head": b"HTTP/1.1 200 OK\r\nX-A: b\r\n",
                "stall_body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
                "bad_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
            }[fault])
            await until_end(reader)
            return False
        else:
            put(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde")
        await writer.drain()
        return True


class Answer:
    """An answer that came whole."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def code(self):
        if self.headers.get("content-type") != "application/problem+json":
            return None
        return json.loads(self.body)["code"]


async def read_answer(reader):
    """The next final answer; interim ones are passed over."""
    try:
        head = ["HTTP/1.1 100 Continue"]
        while head[0].split(" ")[1].startswith("1"):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
        else:
            body = await reader.read(-1)
        return Answer(int(head[0].split(" ")[1]), headers, body)
    except (OSError, asyncio.IncompleteReadError) as why:
        raise Cut(repr(why)) from why


def get(fault, more=""):
    return f"GET /open/{fault} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


def post(fault, length):
    return f"POST /open/{fault} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


class Storm:
    """Clients that misbehave, all at once, until told to stop."""

    def __init__(self, port, tls_port, authority, clients, seed=1):
        self.port, self.tls_port = port, tls_port
        self.context = ssl.create_default_context(cafile=authority)
        self.clients = clients
        self.random = random.Random(seed)
        self.ends = collections.Counter()
        self.failures = []
        self.answered = []
        self.scarce = False
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        """Waits until every call that was begun has ended."""
        self.stopping.set()
        self.thread.join(CALL_SECONDS_MAX + 10)
        assert not self.thread.is_alive(), "a client hangs"

    async def _run(self):
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    async def _client(self):
        actors = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("does_")]
        while not self.stopping.is_set():
            # Half of the calls meet a broken upstream, the other half are broken themselves.
            if self.random.random() < 0.5:
                fault = self.random.choice(sorted(UPSTREAM_FAULTS))
                name, call = fault, self.calls(fault)
            else:
                actor = self.random.choice(actors)
                name, call = actor.__name__, actor()
            try:
                end = await asyncio.wait_for(call, CALL_SECONDS_MAX)
                self.ends[f"{name}: {end}"] += 1
            except asyncio.TimeoutError:
                self.failures.append(f"{name}: no end within {CALL_SECONDS_MAX} s")
            except Exception as why:
                self.failures.append(f"{name}: {why!r}")

    async def open(self, tls=None, limit=1 << 20):
        if tls is None:
            tls = self.random.random() < 0.2
        if tls:
            return await asyncio.open_connection(
                "127.0.0.1", self.tls_port, limit=limit, ssl=self.context, server_hostname="localhost")
        return await asyncio.open_connection("127.0.0.1", self.port, limit=limit)

    def judge(self, answer, allowed):
        """Notes an answer; says how it ended."""
        self.answered.append(answer.headers["x-request-id"])
        code = answer.code()
        if code is None:
            if WHOLE not in allowed or answer.status != 200:
                raise Broken(f"{answer.status} without a code")
            if answer.body not in (b"abcde", b"") and answer.body != PIECE * (BIG_BYTES // len(PIECE)):
                raise Broken(f"{len(answer.body)} bytes of another body")
            return WHOLE
        if (answer.status, code) in allowed or self.scarce and (answer.status, code) in PROBLEM_SCARCE:
            return f"{answer.status} {code}"
        raise Broken(f"{answer.status} {code}, allowed: {allowed}")

    async def calls(self, fault):
        """A client without fault; several calls on a connection where that lives on."""
        allowed = UPSTREAM_FAULTS[fault]
        reader, writer = await self.open()
        try:
            end = None
            for _ in range(self.random.randint(1, 4)):
                if self.random.random() < 0.7:
                    writer.write(get(fault))
                else:
                    # It may meet a pooled connection that the upstream is just closing, and is not sent twice
                    # (RFC 9110 section 9.2.2).
                    writer.write(post(fault, 5) + b"hello")
                    allowed = allowed | PROBLEM_BROKEN
                try:
                    answer = await read_answer(reader)
                except Cut:
                    if CUT in allowed:
                        return CUT
                    raise
                end = self.judge(answer, allowed)
                if answer.headers.get("connection", "").lower() == "close":
                    break
            return end
        finally:
            writer.close()

    async def closed_or(self, reader, allowed):
        """An answer among those allowed, or the end of the connection."""
        try:
            answer = await read_answer(reader)
        except Cut:
            return CUT
        return self.judge(answer, allowed)

    async def does_slow_head(self):
        """Slowloris: a head that never ends."""
        reader, writer = await self.open()
        try:
            answer = asyncio.ensure_future(self.closed_or(reader, {(408, "head_timeout")}))
            for byte in get("ok", "X-Long: " + "y" * 1000):
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)  # the pace of the attack
            return await answer
        finally:
            writer.close()

    async def does_nothing(self):
        """Connects and waits."""
        reader, writer = await self.open()
        try:
            await until_end(reader)
            return "closed"
        finally:
            writer.close()

    async def does_idle(self):
        """Stays idle after an answer until the gateway closes."""
        reader, writer = await self.open()
        try:
            writer.write(get("ok"))
            end = self.judge(await read_answer(reader), {WHOLE})
            await until_end(reader)
            return end
        finally:
            writer.close()

    async def does_half_close(self):
        """Ends its side after the request; the gateway takes that for leaving."""
        reader, writer = await self.open(tls=False)
        try:
            writer.write(get("ok"))
            writer.write_eof()
            return await self.closed_or(reader, {WHOLE})
        finally:
            writer.close()

    async def does_reset_in_body(self):
        """Resets in the middle of its request."""
        _, writer = await self.open()
        writer.write(post("ok", 100_000) + b"x" * self.random.choice([0, 10, 50_000]))
        await asyncio.sleep(self.random.random() / 20)  # somewhere on the way
        reset(writer)
        return "left"

    async def does_stall_in_body(self):
        """Sends half of its body and no more."""
        reader, writer = await self.open()
        try:
            writer.write(post("ok", 100_000) + b"x" * 50_000)
            return await self.closed_or(reader, {(408, "body_timeout")} | PROBLEM_BROKEN)
        finally:
            writer.close()

    async def does_leave_in_answer(self):
        """Resets in the middle of a large answer."""
        reader, writer = await self.open()
        writer.write(get("big"))
        try:
            await reader.read(10_000)
        except OSError:
            pass
        reset(writer)
        return "left"

    async def does_leave_while_waiting(self):
        """Goes away before the upstream has answered."""
        _, writer = await self.open()
        writer.write(get("stall"))
        await asyncio.sleep(self.random.random() / 20)  # somewhere on the way
        writer.close()
        return "left"

    async def does_not_read(self):
        """Asks for a lot and reads nothing; the gateway cuts it off."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(raw, ("127.0.0.1", self.port))
            await loop.sock_sendall(raw, get("big") * 8)
            # Past the write timeout; what had been sent by then is read, and the end must be there.
            await asyncio.sleep(4)
            while await loop.sock_recv(raw, 1 << 16):
                pass
            return "end"
        except ConnectionResetError:
            return "reset"
        finally:
            raw.close()

    async def does_read_slowly(self):
        """Reads a large answer in small steps, but reads."""
        socket_reader, writer = await self.open(limit=SLOW_STEP)
        reader = asyncio.StreamReader()

        async def drip():
            try:
                while piece := await socket_reader.read(SLOW_STEP):
                    reader.feed_data(piece)
                    await asyncio.sleep(0.005)  # that is what slow means here
            except OSError:
                pass  # cut off; the answer ends here
            reader.feed_eof()

        dripping = asyncio.create_task(drip())
        try:
            writer.write(get("big"))
            return self.judge(await read_answer(reader), {WHOLE})
        finally:
            dripping.cancel()
            writer.close()

    async def does_pipeline(self):
        """Sends several requests at once; the answers come in order, or the connection ends."""
        reader, writer = await self.open()
        try:
            writer.write(get("ok") + post("ok", 5) + b"hello" + get("chunked") + get("big"))
            for _ in range(4):
                end = await self.closed_or(reader, {WHOLE} | PROBLEM_BROKEN)
                if end != WHOLE:
                    return end
            return WHOLE
        finally:
            writer.close()

    async def does_garbage(self):
        """Sends what is no HTTP."""
        reader, writer = await self.open(tls=False)
        try:
            writer.write(self.random.choice([random.randbytes(300), b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n"]))
            writer.write(b"\r\n\r\n")
            refused = {(400, code) for code in ("bad_request_line", "bad_method", "bad_line_end", "bad_target",
                                                "tls_on_plain_listener", "bad_header")}
            return await self.closed_or(reader, refused | {(408, "head_timeout"), (505, "version_not_supported")})
        finally:
            writer.close()

    async def does_long_head(self):
        """Sends a head beyond every bound."""
        reader, writer = await self.open()
        try:
            writer.write(get("ok", "X: " + "y" * 100_000 + "\r\n"))
            return await self.closed_or(reader, {(431, "head_too_large")})
        finally:
            writer.close()

    async def does_break_tls(self):
        """Goes wrong within the handshake: garbage, plain HTTP, a piece of it and silence, or a reset."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.tls_port)
        how = self.random.randrange(4)
        try:
            writer.write([random.randbytes(300), get("ok"), b"\x16\x03\x01\x02\x00\x01", b"\x16\x03"][how])
            if how == 3:
                reset(writer)
                return "left"
            await until_end(reader)
            return "closed"
        finally:
            writer.close()

    async def does_leave_tls(self):
        """Closes the socket under TLS without a farewell."""
        reader, writer = await self.open(tls=True)
        writer.write(get("ok"))
        self.judge(await read_answer(reader), {WHOLE})
        reset(writer)
        return "left"


class Flood:
    """Connections that say nothing, as many as asked for."""

    def __init__(self, port, count):
        self.sockets = []
        for _ in range(count):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            self.sockets.append(one)

    def close(self):
        for one in self.sockets:
            one.close()
