// Drives a browser that shows the page: `node drive.mjs OPTIONS`, where OPTIONS is a JSON object:
//
//   browser   the browser's program
//   speech    a WAV file that its microphone hears, over and over
//   heard     where to write what it hears, as a WAV file
//   server    the WebSocket of the SIP server
//   uri       who it is; with `password` it registers
//   target    whom to call; without one it waits to be called
//   seconds   how long it talks before it does anything else
//
// What happens is printed, a JSON object a line: {"event":"heard"} when the file is written, and at last
// {"event":"done"}.

import { createServer } from "node:http";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const options = JSON.parse(process.argv[2]);
const here = dirname(fileURLToPath(import.meta.url));
const print = (line) => process.stdout.write(`${line}\n`);

const bundle = await build({ entryPoints: [join(here, "page.js")], bundle: true, write: false, format: "iife", define: { global: "window" } });
const script = bundle.outputFiles[0].text;
const server = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : "<!doctype html><title>page</title><script src=/page.js></script>");
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launch({
    executablePath: options.browser,
    timeout: 120_000,
    args: [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        `--use-file-for-fake-audio-capture=${options.speech}`,
        "--allow-loopback-in-peer-connection",
        "--autoplay-policy=no-user-gesture-required",
        "--disable-features=WebRtcHideLocalIpsWithMdns",
    ],
});

const seen = [];
const waiting = [];
/** Resolves once an event of that name came; each is taken once. */
const happens = (...names) =>
    new Promise((resolve, reject) => {
        const at = seen.findIndex(({ event }) => names.includes(event));
        if (at >= 0) {
            resolve(seen.splice(at, 1)[0]);
            return;
        }
        const timer = setTimeout(() => reject(new Error(`no ${names.join(" or ")} within 60 s`)), 60_000);
        waiting.push({ names, resolve, timer });
    });
const tell = (line) => {
    print(line);
    const event = JSON.parse(line);
    const at = waiting.findIndex(({ names }) => names.includes(event.event));
    if (at < 0) {
        seen.push(event);
        return;
    }
    const [{ resolve, timer }] = waiting.splice(at, 1);
    clearTimeout(timer);
    resolve(event);
};
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

let failed = false;
try {
    const page = await browser.newPage();
    page.setDefaultTimeout(120_000);
    page.on("console", (message) => process.stderr.write(`${message.text()}\n`));
    page.on("pageerror", (error) => process.stderr.write(`${error}\n`));
    await page.exposeFunction("tell", tell);
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.evaluate((o) => window.start(o), options);
    await happens("connected");
    if (options.password) {
        await happens("registered");
        print(JSON.stringify({ event: "ready" }));
    }
    if (options.target) {
        await page.evaluate((target) => void window.call(target), options.target);
    } else {
        await happens("called");
    }
    await happens("confirmed");
    await pause(options.seconds);
    print(JSON.stringify({ event: "facts", ...(await page.evaluate(() => window.facts())) }));
    await page.evaluate(() => window.press("57#"));
    await page.waitForFunction(() => window.isPressed());
    await pause(1);
    await page.evaluate(() => void window.hold());
    await happens("hold");
    await pause(1);
    await page.evaluate(() => void window.unhold());
    await happens("unhold");
    await pause(1);
    writeFileSync(options.heard, wav(Buffer.from(await page.evaluate(() => window.recording()), "base64")));
    print(JSON.stringify({ event: "heard" }));
    if (options.hangUp) {
        await page.evaluate(() => window.hangUp());
    }
    await happens("ended");
    print(JSON.stringify({ event: "done" }));
} catch (error) {
    failed = true;
    process.stderr.write(`${error.stack}\n`);
} finally {
    await browser.close();
    server.close();
}
process.exit(failed ? 1 : 0);

/** 16-bit samples of 48 kHz, one channel, as a file. */
function wav(samples) {
    const head = Buffer.alloc(44);
    head.write("RIFF", 0);
    head.writeUInt32LE(36 + samples.length, 4);
    head.write("WAVEfmt ", 8);
    head.writeUInt32LE(16, 16);
    head.writeUInt16LE(1, 20);
    head.writeUInt16LE(1, 22);
    head.writeUInt32LE(48000, 24);
    head.writeUInt32LE(96000, 28);
    head.writeUInt16LE(2, 32);
    head.writeUInt16LE(16, 34);
    head.write("data", 36);
    head.writeUInt32LE(samples.length, 40);
    return Buffer.concat([head, samples]);
}
