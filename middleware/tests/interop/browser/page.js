// The page: a SIP user agent that calls or is called, keeps what it hears, and does what it is told.

import JsSIP from "jssip";

const tell = (event, data = {}) => window.tell(JSON.stringify({ event, ...data }));

/** Everything heard, as samples of 48 kHz. */
const heard = [];

/** Runs on the thread of the sound, so that what the page does meanwhile leaves no gaps. */
const tapping = `registerProcessor("tap", class extends AudioWorkletProcessor {
    part = new Float32Array(4800);
    filled = 0;
    process([[samples]]) {
        for (const sample of samples ?? []) {
            this.part[this.filled++] = sample;
            if (this.filled === this.part.length) {
                this.port.postMessage(this.part.slice());
                this.filled = 0;
            }
        }
        return true;
    }
});`;

async function tap(stream) {
    const context = new AudioContext({ sampleRate: 48000 });
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([tapping], { type: "text/javascript" })));
    const node = new AudioWorkletNode(context, "tap");
    node.port.onmessage = ({ data }) => heard.push(data);
    context.createMediaStreamSource(stream).connect(node).connect(context.destination);
}

function listenTo(connection) {
    connection.addEventListener("track", ({ track, streams }) => {
        const stream = streams[0] ?? new MediaStream([track]);
        // Chromium only decodes what some element plays.
        const player = new Audio();
        player.srcObject = stream;
        player.muted = true;
        player.play();
        void tap(stream);
        tell("track", { kind: track.kind });
    });
    connection.addEventListener("connectionstatechange", () =>
        tell("connection", { state: connection.connectionState }),
    );
}

function watch(session) {
    window.session = session;
    session.on("peerconnection", ({ peerconnection }) => listenTo(peerconnection));
    if (session.connection) {
        listenTo(session.connection);
    }
    session.on("progress", () => tell("progress"));
    session.on("confirmed", () => tell("confirmed"));
    session.on("hold", ({ originator }) => tell("hold", { originator }));
    session.on("unhold", ({ originator }) => tell("unhold", { originator }));
    session.on("newDTMF", ({ originator, dtmf }) => tell("dtmf", { originator, tone: dtmf.tone }));
    session.on("failed", ({ originator, cause }) => tell("failed", { originator, cause }));
    session.on("ended", ({ originator, cause }) => tell("ended", { originator, cause }));
}

const media = { mediaConstraints: { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false }, pcConfig: { iceServers: [] } };

/** Starts the user agent; with `password` it registers. */
window.start = ({ server, uri, password }) => {
    const agent = new JsSIP.UA({
        sockets: [new JsSIP.WebSocketInterface(server)],
        uri,
        password,
        register: Boolean(password),
        session_timers: false,
    });
    agent.on("connected", () => tell("connected"));
    agent.on("disconnected", () => tell("disconnected"));
    agent.on("registered", () => tell("registered"));
    agent.on("registrationFailed", ({ cause }) => tell("registrationFailed", { cause }));
    agent.on("newRTCSession", ({ originator, session }) => {
        watch(session);
        if (originator === "remote") {
            tell("called");
            session.answer(media);
        }
    });
    window.agent = agent;
    agent.start();
};

window.call = (target) => window.agent.call(target, media);
window.press = (tones) => window.session.sendDTMF(tones, { transportType: "RFC2833", duration: 120, interToneGap: 120 });
/** Whether all of them were sent, but perhaps for the last one, which is on its way. */
window.isPressed = () => window.session.connection.getSenders().every((sender) => !sender.dtmf?.toneBuffer);
window.hold = () => window.session.hold();
window.unhold = () => window.session.unhold();
window.hangUp = () => window.session.terminate();

/** What the connection came to: codec, pair, DTLS. */
window.facts = async () => {
    const stats = [...(await window.session.connection.getStats()).values()];
    const of = (type, more = () => true) => stats.find((one) => one.type === type && more(one)) ?? {};
    const inbound = of("inbound-rtp", (one) => one.kind === "audio");
    const transport = of("transport");
    return {
        codec: stats.find((one) => one.id === inbound.codecId)?.mimeType,
        received: inbound.packetsReceived,
        lost: inbound.packetsLost,
        dtls: transport.dtlsState,
        cipher: transport.srtpCipher,
        tls: transport.tlsVersion,
        ice: transport.iceState,
    };
};

/** What was heard, as 16-bit samples in base64. */
window.recording = () => {
    const length = heard.reduce((sum, part) => sum + part.length, 0);
    const samples = new Int16Array(length);
    let at = 0;
    for (const part of heard) {
        for (const sample of part) {
            samples[at++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32767)));
        }
    }
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (let start = 0; start < bytes.length; start += 0x8000) {
        text += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
    }
    return btoa(text);
};
