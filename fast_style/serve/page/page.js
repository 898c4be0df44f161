"use strict";

// What the page does wherever the picture is painted. Another script does the painting: server.js,
// or local.js in the browser itself (export.py --format web). It defines
//   title(): what the chosen style is called;
//   paint(photo, mask, signal): {stylized, note} of Blobs, where a note is what else to tell; raises
//   an Error whose message is for people.
const element = (id) => document.getElementById(id);
const SETTLED_AFTER = 250; // milliseconds without another move of a slider

let photo = null; // a Blob, as it was chosen
let running = null; // the AbortController of the request on its way
let settling = null;
let lastSeconds = 3; // of the latest pass, from which the next one's progress is guessed

// styles: each has a name, an artwork and a sample, the URL of a picture.
function showStyles(styles, chosen = selected()) {
  element("styles").querySelectorAll("label").forEach((label) => label.remove());
  for (const [number, { name, artwork, sample }] of styles.entries()) {
    const label = document.createElement("label");
    const choice = document.createElement("input");
    const picture = document.createElement("img");
    Object.assign(choice, { type: "radio", name: "style", value: name, checked: number === 0 });
    if (name === chosen) choice.checked = true;
    Object.assign(picture, { src: sample, alt: "", loading: "lazy" });
    label.title = artwork || name;
    label.append(choice, picture, name);
    element("styles").append(label);
  }
}

function selected() {
  return document.querySelector("input[name=style]:checked")?.value;
}

function take(blob) {
  if (!blob) return;
  photo = blob;
  stopCamera();
  show("before", blob);
  element("after").removeAttribute("src");
  element("drop").hidden = true;
  element("result").hidden = false;
  element("another").hidden = false;
  element("webcam").hidden = true;
  element("brush").hidden = false;
  clearMask();
  stylize();
}

function startAgain() {
  running?.abort();
  stopCamera();
  photo = null;
  element("result").hidden = true;
  element("another").hidden = true;
  element("save").hidden = true;
  element("brush").hidden = true;
  showBrush(false);
  element("drop").hidden = false;
  element("webcam").hidden = false;
  element("file").value = "";
  element("error").textContent = "";
  element("message").textContent = "";
  element("file").focus();
}

function show(id, blob) {
  const picture = element(id);
  if (picture.src) URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(blob);
}

async function stylize() {
  if (!photo) return;
  running?.abort();
  const mine = (running = new AbortController());
  const style = title();
  element("error").textContent = "";
  element("message").textContent = `Painting in the style of ${style}…`;
  const progress = startProgress();
  try {
    const started = performance.now();
    const { stylized, note } = await paint(photo, await paintedMask(), mine.signal);
    lastSeconds = (performance.now() - started) / 1000;
    show("after", stylized);
    offerToSave(stylized, style);
    element("message").textContent = `${style}, ${lastSeconds.toFixed(1)} s${note ?? ""}`;
  } catch (error) {
    if (error.name === "AbortError") return;
    element("message").textContent = "";
    element("error").textContent = error.message;
    if (!element("after").src) element("save").hidden = true;
  } finally {
    stopProgress(progress);
  }
}

function offerToSave(blob, style) {
  const save = element("save");
  if (save.href) URL.revokeObjectURL(save.href);
  save.href = URL.createObjectURL(blob);
  const stem = (photo.name || "picture").replace(/\.[^.]*$/, "");
  save.download = `${stem}-${style}.${blob.type === "image/jpeg" ? "jpg" : "png"}`;
  save.hidden = false;
}

function startProgress() {
  const bar = element("progress");
  const started = performance.now();
  bar.hidden = false;
  const timer = setInterval(() => {
    const part = 1 - Math.exp((-2 * (performance.now() - started)) / (1000 * lastSeconds));
    bar.firstElementChild.style.width = `${100 * part}%`;
    bar.setAttribute("aria-valuenow", Math.round(100 * part));
  }, 100);
  startProgress.latest = timer;
  return timer;
}

function stopProgress(timer) {
  clearInterval(timer);
  if (timer === startProgress.latest) element("progress").hidden = true;
}

async function openCamera() {
  const video = element("camera");
  if (!video.hidden) return snapshot();
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    element("error").textContent = `The camera cannot be used: ${error.message}`;
    return;
  }
  await video.play();
  video.hidden = false;
  element("drop").hidden = true;
  element("another").hidden = false;
  element("webcam").textContent = "Take the picture";
  paintLive();
}

async function snapshot() {
  take(await pictureOf(element("camera")));
}

function stopCamera() {
  const video = element("camera");
  stopLive();
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  video.hidden = true;
  element("webcam").textContent = "Use the camera";
}

function changed(event) {
  if (event.target.closest("#own")) return;
  for (const value of document.querySelectorAll("#choices output")) {
    const slider = element(value.htmlFor.value);
    value.textContent = slider.value + slider.dataset.unit;
  }
  clearTimeout(settling);
  settling = setTimeout(stylize, SETTLED_AFTER);
}

element("file").addEventListener("change", (event) => take(event.target.files[0]));
element("choices").addEventListener("input", changed);
// Drivers of Chromium choose an option with a change alone.
element("choices").addEventListener("change", (event) => event.target.matches("select") && changed(event));
element("choices").addEventListener("submit", (event) => event.preventDefault());
element("webcam").addEventListener("click", openCamera);
element("another").addEventListener("click", startAgain);
element("divide").addEventListener("input", (event) => {
  element("result").style.setProperty("--divide", `${event.target.value}%`);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    if (event.target.closest?.("#drop-painting")) return;
    element("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
element("webcam").hidden = !navigator.mediaDevices;
