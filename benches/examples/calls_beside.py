#!/usr/bin/env python3
"""Ours and baresip beside one another: many PCMU calls with SRTP (SDES) on loopback, under one judge.

calls_beside.py [CALLS] [SECONDS] [ours|baresip]: builds and runs the example `calls`, then two baresips (Debian's
baresip-core 1.0.0) that make as many calls to one another, or, with a warning, as many as they hold; then ours is
run with that number as well. What departs is captured by dumpcap (Debian's tshark) with the kernel's times, CPU and
memory are the kernel's too. Each call of baresip's has an aubridge for sound, the lightest that it has: no file,
no sine. As root, the capture comes before all others.
"""

import json
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

MODULES = "/usr/lib/baresip/modules"
HZ = os.sysconf("SC_CLK_TCK")
TICK = 0.020
# Ethernet, IPv4, UDP, RTP, 20 ms of PCMU and the tag.
FRAME = 14 + 20 + 8 + 12 + 160 + 10
SNAP = 14 + 20 + 8 + 12
# Calls between one look and the next at whether baresip keeps up.
STEP = 25


def say(text):
    print(text, file=sys.stderr, flush=True)


def cpu(pid):
    """Seconds of CPU of a process since it began."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def memory(pid):
    """Resident memory in kB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


class Capture:
    """What crosses the loopback interface in so many seconds, by stream: times and RTP timestamps."""

    def __init__(self, seconds):
        self.path = tempfile.mktemp(suffix=".pcap")
        command = ["nice", "-n", "-15"] if os.geteuid() == 0 else []
        command += ["dumpcap", "-q", "-P", "-i", "lo", "-s", str(SNAP), "-B", "256", "-w", self.path]
        command += ["-a", f"duration:{seconds}", "-f", f"udp and len = {FRAME}"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def streams(self):
        told = self.process.communicate()[1]
        with open(self.path, "rb") as file:
            data = memoryview(file.read())
        os.unlink(self.path)
        if len(data) <= 24:
            raise SystemExit(f"dumpcap has captured nothing: {told}")
        streams = {}
        record = struct.Struct("<IIII34sHH4xBBHII")
        for seconds, micros, kept, _, _, source, target, first, kind, _, stamp, ssrc in record.iter_unpack(data[24:]):
            assert kept == SNAP and first == 0x80, "not RTP"
            if kind & 0x7F == 0:
                source, target, stamp, ssrc = (swap(source, 2), swap(target, 2), swap(stamp, 4), swap(ssrc, 4))
                streams.setdefault((source, target, ssrc), []).append((seconds + micros / 1e6, stamp))
        dropped = [line for line in told.splitlines() if "dropped" in line]
        return streams, " ".join(dropped)


def swap(number, size):
    return int.from_bytes(number.to_bytes(size, "little"), "big")


def judge(streams):
    """How far intervals are from 20 ms, and packets behind the grid of their stream, in ms."""
    intervals, behind, packets = [], [], 0
    for times in streams.values():
        packets += len(times)
        intervals += [abs(b[0] - a[0] - TICK) for a, b in zip(times, times[1:])]
        # The grid goes through the packet that is earliest against its timestamp.
        base = times[0][1]
        against = [at - ((stamp - base) & 0xFFFFFFFF) / 8000 for at, stamp in times]
        earliest = min(against)
        behind += [one - earliest for one in against]
    return packets, quantiles(intervals), quantiles(behind)


def quantiles(values):
    values.sort()
    return [1e3 * values[min(int(len(values) * part), len(values) - 1)] for part in (0.5, 0.99, 0.999, 1)]


class Measured:
    """CPU, memory and packets of some processes, from before their calls on."""

    def __init__(self, pids, seconds):
        self.pids, self.seconds = pids, seconds
        self.before = sum(map(memory, pids))

    def go(self, ends):
        """When all calls are up: `ends` is how many ends they have in these processes."""
        time.sleep(2)
        capture = Capture(self.seconds)
        began, spent = time.monotonic(), sum(map(cpu, self.pids))
        time.sleep(self.seconds - 0.5)
        elapsed = time.monotonic() - began
        spent = sum(map(cpu, self.pids)) - spent
        held = sum(map(memory, self.pids)) - self.before
        streams, told = capture.streams()
        packets, intervals, behind = judge(streams)
        span = max(times[-1][0] for times in streams.values()) - min(times[0][0] for times in streams.values())
        return {
            "ends": ends,
            "streams": len(streams),
            "rate": packets / len(streams) / span,
            "interval": intervals,
            "behind": behind,
            "cpu": 1e3 * spent / elapsed / ends,
            "share": 100 * spent / elapsed,
            "memory": held / ends,
            "told": told,
        }


def ours(calls, seconds):
    subprocess.run(
        ["cargo", "build", "--release", "-q", "-p", "sipsimple-benches", "--example", "calls"], check=True
    )
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    # It stays until it has been measured.
    command = [f"{target}/release/examples/calls", str(calls), str(seconds + 10)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        measured = None
        for line in process.stdout:
            if line.startswith("ready"):
                measured = Measured([process.pid], seconds)
            elif line.startswith("up"):
                found = measured.go(2 * calls)
                say("ours, by itself:")
            elif measured:
                say("  " + line.rstrip())
    return found


class Baresip:
    def __init__(self, folder, name, calls, ports):
        self.name, self.calls = name, calls
        self.sip, self.control = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        home = os.path.join(folder, name)
        os.makedirs(home)
        with open(os.path.join(home, "config"), "w") as file:
            file.write(
                f"poll_method epoll\nsip_listen 127.0.0.1:{self.sip}\nnet_interface 127.0.0.1\n"
                f"rtp_ports {ports}-{ports + 8 * calls + 100}\ncall_max_calls {calls + 10}\n"
                "audio_source aubridge,nobody\naudio_player aubridge,nobody\naudio_alert aubridge,nobody\n"
                f"rtcp_mux no\nctrl_tcp_listen 127.0.0.1:{self.control}\nmodule_path {MODULES}\n"
                + "".join(f"module {name}.so\n" for name in ("g711", "aubridge", "srtp", "uuid"))
                + "module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n"
            )
        with open(os.path.join(home, "accounts"), "w") as file:
            for number in range(calls):
                sound = f"aubridge,{name}{number}"
                file.write(
                    f"<sip:{name}{number}@127.0.0.1:{self.sip}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1;"
                    f"mediaenc=srtp-mand;audio_source={sound};audio_player={sound}\n"
                )
        open(os.path.join(home, "contacts"), "w").close()
        self.log = open(os.path.join(home, "log"), "w+")
        self.process = subprocess.Popen(["baresip", "-f", home], stdout=self.log, stderr=subprocess.STDOUT)

    def connect(self):
        for _ in range(100):
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.control), timeout=10)
                self.buffer = b""
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("baresip does not start: " + self.said())

    def said(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()[-2000:]

    def command(self, command, params=""):
        text = json.dumps({"command": command, "params": params, "token": "t"}).encode()
        self.socket.sendall(b"%d:%s," % (len(text), text))
        while True:
            message = self.message()
            if message.get("response"):
                return message

    def wait_for(self, kind):
        while True:
            message = self.message()
            if message.get("event"):
                if message["type"] == kind:
                    return
                if message["type"] == "CALL_CLOSED":
                    raise ConnectionError(message)

    def message(self):
        """The next netstring."""
        while True:
            length, colon, rest = self.buffer.partition(b":")
            if colon and len(rest) > int(length):
                self.buffer = rest[int(length) + 1 :]
                return json.loads(rest[: int(length)])
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("baresip has ended")
            self.buffer += more


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pair:
    """Two baresips that call one another."""

    def __init__(self, calls):
        self.folder = tempfile.TemporaryDirectory()
        self.held = 0
        self.caller = Baresip(self.folder.name, "a", calls, 20_000)
        self.callee = Baresip(self.folder.name, "b", calls, 40_000)

    def __enter__(self):
        self.caller.connect()
        self.callee.connect()
        return self

    def __exit__(self, *_):
        for one in (self.caller, self.callee):
            one.process.terminate()
            one.process.wait()
        self.folder.cleanup()

    def pids(self):
        return [self.caller.process.pid, self.callee.process.pid]

    def add(self):
        self.caller.command("uafind", f"sip:a{self.held}@127.0.0.1:{self.caller.sip}")
        self.caller.command("dial", f"sip:b{self.held}@127.0.0.1:{self.callee.sip}")
        self.caller.wait_for("CALL_ESTABLISHED")
        self.callee.wait_for("CALL_ESTABLISHED")
        self.held += 1

    def keeps_up(self):
        """Whether both ends of all calls send fifty packets a second."""
        sent, began = datagrams(), time.monotonic()
        time.sleep(2)
        return (datagrams() - sent) / (time.monotonic() - began) > 0.995 * 100 * self.held


def datagrams():
    """UDP datagrams that this machine has sent."""
    with open("/proc/net/snmp") as file:
        names, values = [line.split() for line in file if line.startswith("Udp:")]
    return int(values[names.index("OutDatagrams")])


def holds(calls):
    """How many calls two baresips hold, by steps, `calls` at most."""
    with Pair(calls) as pair:
        try:
            while pair.held < calls:
                pair.add()
                if pair.held % STEP == 0 and not pair.keeps_up():
                    return pair.held - STEP
        except (OSError, ConnectionError) as error:
            say(f"at {pair.held} calls: {error!r}\n{pair.caller.said()}\n{pair.callee.said()}")
            return pair.held // STEP * STEP
    return calls


def baresip(calls, seconds):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = holds(calls)
    if held < calls:
        say(f"baresip holds {held} of {calls} calls: with {STEP} more it does not send all packets")
    if not held:
        return None
    with Pair(held) as pair:
        measured = Measured(pair.pids(), seconds)
        for _ in range(held):
            pair.add()
        return measured.go(2 * held)


def main():
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    calls, seconds = (numbers + [500, 20][len(numbers) :])[:2]
    words = [word for word in sys.argv[1:] if not word.isdigit()] or ["ours", "baresip"]
    needed = [("dumpcap", "tshark")] + ([("baresip", "baresip-core")] if "baresip" in words else [])
    for program, package in needed:
        if not shutil.which(program):
            raise SystemExit(f"needs {program} (Debian: {package})")
    found = {word: {"ours": ours, "baresip": baresip}[word](calls, seconds) for word in words}
    found = {word: one for word, one in found.items() if one}
    held = found["baresip"]["ends"] // 2 if "baresip" in found else calls
    if held < calls and "ours" in found:
        found[f"ours, {held}"] = ours(held, seconds)
    rows = [
        ("calls held, streams seen", lambda one: f"{one['ends'] // 2}, {one['streams']}"),
        ("packets of a stream and second", lambda one: f"{one['rate']:.2f}"),
        ("interval less 20 ms: median, p99, p99.9, worst", lambda one: milliseconds(one["interval"])),
        ("behind the grid: median, p99, p99.9, worst", lambda one: milliseconds(one["behind"])),
        ("CPU, of one core; of an end and second", lambda one: f"{one['share']:.0f} %, {one['cpu']:.2f} ms"),
        ("memory of an end", lambda one: f"{one['memory']:.0f} kB"),
    ]
    print("| " + " | ".join(["", *found]) + " |\n|---|" + "--:|" * len(found))
    for title, value in rows:
        print("| " + " | ".join([title, *map(value, found.values())]) + " |")
    for word, one in found.items():
        if one["told"]:
            say(f"{word}: {one['told']}")


def milliseconds(values):
    return ", ".join(f"{value:.2f}" for value in values) + " ms"


if __name__ == "__main__":
    main()
