"use strict";

// The camera in the chosen style. One frame at a time is painted. When it is done, the newest frame
// follows, and those in between are dropped.
let liveSize = 480; // pixels of a frame's long side
const RATE_AFTER = 1000; // milliseconds between two figures of the rate
let stopLive = () => {};

async function paintLive() {
  const video = element("camera");
  const shown = element("live");
  const leaving = new AbortController();
  const newFrame = frameClock(video, leaving.signal);
  stopLive = () => {
    leaving.abort();
    shown.hidden = element("rate").hidden = true;
    video.classList.remove("beside");
  };
  let painted = 0;
  let since = performance.now();
  while (!leaving.signal.aborted) {
    try {
      await newFrame();
      const { stylized } = await paint(await frameOf(video), null, leaving.signal);
      const picture = await createImageBitmap(stylized);
      if (leaving.signal.aborted) return;
      [shown.width, shown.height] = [picture.width, picture.height];
      shown.getContext("bitmaprenderer").transferFromImageBitmap(picture);
      element("error").textContent = "";
    } catch (error) {
      if (leaving.signal.aborted) return;
      element("error").textContent = error.message;
      await new Promise((done) => setTimeout(done, RATE_AFTER));
      continue;
    }
    shown.hidden = element("rate").hidden = false;
    video.classList.add("beside");
    painted += 1;
    const passed = performance.now() - since;
    if (passed > RATE_AFTER) {
      const rate = (1000 * painted) / passed; // frames a second
      element("rate").textContent = `${title()}, ${rate.toFixed(1)} frames/s`;
      element("rate").dispatchEvent(new CustomEvent("rate", { detail: rate }));
      [painted, since] = [0, performance.now()];
    }
  }
}

// Returns a function that waits until there is a frame that it has not yet returned for.
function frameClock(video, signal) {
  const next = (video.requestVideoFrameCallback ?? requestAnimationFrame).bind(video);
  let isNew = true;
  let wake = () => {};
  const came = () => {
    isNew = true;
    wake();
    if (!signal.aborted) next(came);
  };
  next(came);
  signal.addEventListener("abort", () => wake());
  return async () => {
    if (!isNew) await new Promise((done) => (wake = done));
    isNew = false;
  };
}

function frameOf(video) {
  const scale = Math.min(1, liveSize / Math.max(video.videoWidth, video.videoHeight));
  return pictureOf(video, Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
}

// Returns a JPEG of what a video shows now.
function pictureOf(video, width = video.videoWidth, height = video.videoHeight) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").drawImage(video, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
}
