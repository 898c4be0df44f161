"use strict";

// Paints in this browser. A worker, painter.js, runs the networks, so that the page stays responsive.
const FRAMES_PER_SECOND = 10; // of the camera: the frames are made larger or smaller for it
const [SMALLEST, LARGEST] = [160, 640]; // pixels of a frame's long side
const CAMERA_WINDOW = 2; // seconds over which frames are counted

let painter = null; // the Worker
let working = Promise.resolve(); // the latest job; there is one at a time
const numbers = new WeakMap(); // of photos, by which the painter recognizes one
let count = 0;

function title() {
  return selected();
}

function choices() {
  const [strength, colors] = [element("strength").value / 100, element("colors").checked];
  return { style: selected(), strength, colors };
}

async function paint(photo, mask, signal) {
  if (!numbers.has(photo)) numbers.set(photo, ++count);
  const side = Number(element("size").value);
  const wanted = { photo, number: numbers.get(photo), mask, side, ...choices() };
  const { stylized, device, before, after } = await job(wanted, [], signal);
  let note = ` on ${device}.`;
  if (before.join() !== after.join()) {
    note += ` The picture of ${before.join(" × ")} pixels was shrunk to ${after.join(" × ")}.`;
  }
  return { stylized, note };
}

// Asks the painter for something, once it is done with what was asked before.
function job(message, transfer, signal) {
  const mine = working.then(async () => {
    signal?.throwIfAborted();
    const answer = await send(message, transfer);
    signal?.throwIfAborted();
    return answer;
  });
  working = mine.catch(() => {});
  return mine;
}

function send(message, transfer) {
  painter ??= new Worker("painter.js", { type: "module" });
  return new Promise((done, fail) => {
    const failed = (error) => {
      painter.terminate(); // after an error, it may have no memory left
      painter = null;
      fail(new Error(error));
    };
    painter.onmessage = ({ data }) => (data.error ? failed(data.error) : done(data));
    painter.onerror = () => failed("The program that paints cannot be loaded. Are you offline?");
    painter.postMessage(message, transfer);
  });
}

// The camera: the newest frame is painted as soon as the one before is done. All others are dropped.
const video = element("camera");
const live = document.createElement("canvas");
const view = document.createElement("div");

const newFrame = () =>
  new Promise((done) => video.requestVideoFrameCallback?.(done) ?? requestAnimationFrame(done));

async function paintCamera() {
  const camera = video.srcObject;
  const pen = live.getContext("bitmaprenderer");
  let [side, painted, since, next] = [SMALLEST, 0, performance.now(), newFrame()];
  while (video.srcObject === camera) {
    await next;
    next = newFrame();
    const { videoWidth, videoHeight } = video;
    const scale = Math.min(1, side / Math.max(videoWidth, videoHeight));
    const [resizeWidth, resizeHeight] = [videoWidth, videoHeight].map((all) => Math.round(all * scale));
    const resizing = { resizeWidth, resizeHeight, resizeQuality: "medium" };
    let stylized;
    try {
      const frame = await createImageBitmap(video, resizing);
      ({ stylized } = await job({ frame, ...choices() }, [frame]));
    } catch (error) {
      if (video.srcObject === camera) element("error").textContent = error.message;
      break;
    }
    if (video.srcObject !== camera) break;
    pen.transferFromImageBitmap(stylized);
    live.hidden = false;
    painted += 1;
    const seconds = (performance.now() - since) / 1000;
    if (seconds < CAMERA_WINDOW) continue;
    const rate = painted / seconds;
    element("message").textContent =
      `${title()}, ${rate.toFixed(1)} frames/s of ${resizeWidth} × ${resizeHeight} pixels`;
    const factor = Math.sqrt(rate / FRAMES_PER_SECOND);
    if (factor > 1.2 || factor < 0.8) {
      side = Math.min(Math.max(Math.round((side * factor) / 16) * 16, SMALLEST), LARGEST);
    }
    [painted, since] = [0, performance.now()];
  }
  if (!video.srcObject) live.hidden = true;
}

Object.assign(live, { id: "live", hidden: true });
live.setAttribute("role", "img");
live.setAttribute("aria-label", "The camera's picture, painted");
view.id = "view";
video.replaceWith(view);
view.append(video, live);
video.addEventListener("playing", paintCamera);
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
  await job({ style: selected() }, []); // loads the network before it is needed
  await keepForOffline(styles);
}

navigator.serviceWorker?.addEventListener("controllerchange", () => {
  if (!crossOriginIsolated && !photo && !video.srcObject) location.reload();
});
// Some private windows refuse it: then there is one thread, and no page offline.
navigator.serviceWorker?.register("service_worker.js").catch(() => {});
begin().catch((error) => {
  element("error").textContent = error.message;
});
