"use strict";

// Paints in this browser. A worker, painter.js, runs the networks, so that the page stays responsive.
const FRAMES_PER_SECOND = 10; // of the camera: the frames are made larger or smaller for it
const [SMALLEST, LARGEST] = [160, 512]; // pixels of a frame's long side

let painter = null; // the Worker
let working = Promise.resolve(); // the latest job; there is one at a time
const numbers = new WeakMap(); // of photos, by which the painter recognizes one
let count = 0;

function title() {
  return selected();
}

async function paint(photo, mask, signal) {
  if (!numbers.has(photo)) numbers.set(photo, ++count);
  const side = Number(element("size").value);
  const [strength, colors] = [element("strength").value / 100, element("colors").checked];
  const wanted = { photo, number: numbers.get(photo), mask, side, style: selected(), strength, colors };
  const { stylized, device, before, after } = await job(wanted, signal);
  let note = ` on ${device}.`;
  if (before.join() !== after.join()) {
    note += ` The picture of ${before.join(" × ")} pixels was shrunk to ${after.join(" × ")}.`;
  }
  return { stylized, note };
}

// Asks the painter for something, once it is done with what was asked before.
function job(message, signal) {
  const mine = working.then(async () => {
    signal?.throwIfAborted();
    const answer = await send(message);
    signal?.throwIfAborted();
    return answer;
  });
  working = mine.catch(() => {});
  return mine;
}

function send(message) {
  painter ??= new Worker("painter.js", { type: "module" });
  return new Promise((done, fail) => {
    const failed = (error) => {
      painter.terminate(); // after an error, it may have no memory left
      painter = null;
      fail(new Error(error));
    };
    painter.onmessage = ({ data }) => (data.error ? failed(data.error) : done(data));
    painter.onerror = () => failed("The program that paints cannot be loaded. Are you offline?");
    painter.postMessage(message);
  });
}

// The camera's frames (live.js) are as large as this machine paints fast enough.
liveSize = SMALLEST;
element("rate").addEventListener("rate", ({ detail: rate }) => {
  const factor = Math.sqrt(rate / FRAMES_PER_SECOND);
  if (factor > 0.8 && factor < 1.2) return;
  liveSize = Math.min(Math.max(Math.round((liveSize * factor) / 16) * 16, SMALLEST), LARGEST);
});
element("size").value = "512"; // on a phone, 1024 pixels take many seconds and 0.5 GB

// Offline, and threads: the service worker keeps the files, and adds the headers without which
// WebAssembly has a single thread. They are for the page's next load.
async function keepForOffline(styles) {
  for (const { network } of navigator.connection?.saveData ? [] : styles) await (await fetch(network)).blob();
  if (navigator.serviceWorker?.controller) {
    document.querySelector("header p").append(" This page works offline.");
  }
}

async function begin() {
  const styles = await (await fetch("styles.json")).json();
  showStyles(styles);
  await job({ style: selected() }); // loads the network before it is needed
  await keepForOffline(styles);
}

navigator.serviceWorker?.addEventListener("controllerchange", () => {
  if (!crossOriginIsolated && !photo && !element("camera").srcObject) location.reload();
});
// Some private windows refuse it: then there is one thread, and no page offline.
navigator.serviceWorker?.register("service_worker.js").catch(() => {});
begin().catch((error) => {
  element("error").textContent = error.message;
});
