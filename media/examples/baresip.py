#!/usr/bin/env python3
"""Has baresip hear the very packets that `sound` wrote, at the very times, and records what it plays.

baresip.py FOLDER OUT [WORDS]: for each `.packets` of FOLDER whose name contains WORDS, a baresip (Debian's:
baresip-core, pulseaudio, pulseaudio-utils, libasound2-plugins) is called on 127.0.0.1 and given those packets;
what its loudspeaker, a null sink, plays becomes a WAV file of the same name in OUT, for score.py. The sink has the
rate of the codec, so that nothing is resampled on the way: a filter of the sound server's would be heard. Its
jitter buffer is as it comes, and its module for concealment is loaded.
"""

import asyncio
import os
import socket
import struct
import sys
import tempfile
import time
import wave

AT_ONCE = 8
MODULES = "/usr/lib/baresip/modules"
CODECS = {"PCMU": ("PCMU/8000/1", 0, ""), "G722": ("G722/16000/1", 9, ""), "opus": ("opus/48000/2", 96, "a=rtpmap:96 opus/48000/2\r\n")}
# Rate and channels of what each decodes to.
SOUND = {"PCMU": (8000, 1), "G722": (16000, 1), "opus": (48000, 2)}


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def packets(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        micros, length = struct.unpack_from("<QH", data, at)
        yield micros / 1e6, data[at + 10 : at + 10 + length]
        at += 10 + length


class Pulse:
    """A sound server with a null sink for each baresip that runs at once."""

    def __init__(self, folder):
        runtime = os.path.join(folder, "pulse")
        os.makedirs(runtime)
        self.socket = os.path.join(runtime, "native")
        script = [f"load-module module-native-protocol-unix socket={self.socket} auth-anonymous=1"]
        for n in range(AT_ONCE):
            for codec, (rate, channels) in SOUND.items():
                script.append(f"load-module module-null-sink norewinds=1 sink_name={codec}{n} rate={rate} channels={channels}")
        self.script = os.path.join(folder, "default.pa")
        self.alsa = os.path.join(folder, "asound.conf")
        with open(self.script, "w") as file:
            file.write("\n".join(script) + "\n")
        with open(self.alsa, "w") as file:
            file.write("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        self.environment = dict(
            os.environ,
            PULSE_SERVER=f"unix:{self.socket}",
            PULSE_RUNTIME_PATH=runtime,
            PULSE_STATE_PATH=folder,
            XDG_RUNTIME_DIR=folder,
            ALSA_CONFIG_PATH=f"/usr/share/alsa/alsa.conf:{self.alsa}",
        )

    async def start(self):
        command = ["pulseaudio", "-n", "--daemonize=no", "--disallow-exit", "--exit-idle-time=-1", "--use-pid-file=no"]
        command += ["--realtime=yes", "--high-priority=yes", "-F", self.script]
        null = asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(*command, env=self.environment, stdout=null, stderr=null)
        for _ in range(100):
            info = await asyncio.create_subprocess_exec("pactl", "info", env=self.environment, stdout=null, stderr=null)
            if await info.wait() == 0:
                return
            await asyncio.sleep(0.1)
        raise SystemExit("pulseaudio does not answer")


def configure(folder, port, account):
    rtp = free_port() & ~1
    with open(os.path.join(folder, "config"), "w") as file:
        file.write(
            f"sip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\nrtp_ports {rtp}-{rtp + 20}\ncall_max_calls 1\n"
            "audio_source aubridge,nobody\naudio_player alsa,default\naudio_alert aubridge,sink\n"
            f"jitter_buffer_delay 5-10\nmodule_path {MODULES}\n"
            + "".join(f"module {name}.so\n" for name in ("g711", "g722", "opus", "plc", "alsa", "aubridge", "uuid"))
            + "module_tmp account.so\nmodule_app menu.so\n"
        )
    with open(os.path.join(folder, "accounts"), "w") as file:
        file.write(account)
    open(os.path.join(folder, "contacts"), "w").close()


async def call(sip, port, media, payload_type, extra):
    """An INVITE that is answered; gives where baresip takes RTP, and what ends the call."""
    loop = asyncio.get_running_loop()
    own, mine = sip.getsockname()[1], media.getsockname()[1]
    body = (
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {mine} RTP/AVP {payload_type}\r\n{extra}a=sendrecv\r\n"
    )

    def request(method, number, tag="", body=""):
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} sip:baresip@127.0.0.1:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{own};rport;branch=z9hG4bK{own}{method}{number}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:bed@127.0.0.1:{own}>;tag={own}\r\nTo: <sip:baresip@127.0.0.1:{port}>{tag}\r\n"
            f"Call-ID: {own}@bed\r\nCSeq: {number} {method}\r\nContact: <sip:bed@127.0.0.1:{own}>\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    answer = ""
    for _ in range(8):
        if not answer:
            sip.sendto(request("INVITE", 1, body=body), ("127.0.0.1", port))
        try:
            answer = (await asyncio.wait_for(loop.sock_recv(sip, 8192), 1)).decode()
        except (asyncio.TimeoutError, ConnectionError):
            continue
        if answer.startswith("SIP/2.0 200"):
            break
        if not answer.startswith("SIP/2.0 1"):
            raise ConnectionError(answer)
    else:
        raise ConnectionError("baresip does not answer")
    lines = answer.split("\r\n")
    tag = next(line for line in lines if line.lower().startswith("to:")).split(";tag=")[1]
    theirs = int(next(line for line in lines if line.startswith("m=audio")).split()[1])
    sip.sendto(request("ACK", 1, f";tag={tag}"), ("127.0.0.1", port))
    return theirs, request("BYE", 2, f";tag={tag}")


async def hear(case, folder, out, pulse, number):
    """One case, from the start of baresip to the WAV file."""
    codec = case.split(".")[0]
    name, payload_type, extra = CODECS[codec]
    rate, _ = SOUND[codec]
    sink = f"{codec}{number}"
    environment = dict(pulse.environment, PULSE_SINK=sink)
    null = asyncio.subprocess.DEVNULL
    with tempfile.TemporaryDirectory() as home, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip, socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM
    ) as media:
        for one in (sip, media):
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
        port = free_port()
        configure(home, port, f"<sip:baresip@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs={name}\n")
        baresip = await asyncio.create_subprocess_exec("baresip", "-f", home, env=environment, stdout=null, stderr=null)
        try:
            theirs, bye = await call(sip, port, media, payload_type, extra)
            await asyncio.sleep(0.5)
            command = ["parec", "-d", f"{sink}.monitor", "--format=s16le", f"--rate={rate}", "--channels=1", "--latency-msec=100"]
            recorder = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=null)
            reading = asyncio.create_task(recorder.stdout.read())
            await asyncio.sleep(0.3)
            begin = time.monotonic()
            for at, packet in packets(os.path.join(folder, case + ".packets")):
                wait = begin + at - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                media.sendto(packet, ("127.0.0.1", theirs))
            await asyncio.sleep(1.0)
            recorder.terminate()
            heard = await reading
            await recorder.wait()
            sip.sendto(bye, ("127.0.0.1", port))
            await asyncio.sleep(0.2)
        finally:
            if baresip.returncode is None:
                baresip.terminate()
            await baresip.wait()
    with wave.open(os.path.join(out, case + ".wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(heard)


async def main():
    folder, out = sys.argv[1:3]
    words = sys.argv[3] if len(sys.argv) > 3 else ""
    os.makedirs(out, exist_ok=True)
    cases = sorted(name[: -len(".packets")] for name in os.listdir(folder) if name.endswith(".packets") and words in name)
    # What was heard already is not heard again.
    cases = [case for case in cases if not os.path.exists(os.path.join(out, case + ".wav"))]
    with tempfile.TemporaryDirectory() as home:
        pulse = Pulse(home)
        await pulse.start()
        places = asyncio.Queue()
        for number in range(AT_ONCE):
            places.put_nowait(number)

        async def one(case):
            number = await places.get()
            try:
                # A port may be taken meanwhile: then once more, with others.
                for _ in range(4):
                    try:
                        return await hear(case, folder, out, pulse, number)
                    except ConnectionError as error:
                        print(case, error, file=sys.stderr)
            finally:
                places.put_nowait(number)

        try:
            await asyncio.gather(*map(one, cases))
        finally:
            pulse.process.terminate()
            await pulse.process.wait()


if __name__ == "__main__":
    asyncio.run(main())
