"use strict";

const element = (id) => document.getElementById(id);
const SETTLED_AFTER = 250; // milliseconds without another move of a slider

let photo = null; // a Blob, as it was chosen
let running = null; // the AbortController of the request on its way
let settling = null;
let lastSeconds = 3; // of the latest pass, from which the next one's progress is guessed

let styles = []; // what the server lists

async function listStyles(chosen = selected()) {
  styles = await (await fetch("/styles")).json();
  element("styles").querySelectorAll("label").forEach((label) => label.remove());
  for (const [number, { name, artwork, own, version }] of styles.entries()) {
    const label = document.createElement("label");
    const choice = document.createElement("input");
    const picture = document.createElement("img");
    Object.assign(choice, { type: "radio", name: "style", value: name, checked: number === 0 });
    if (name === chosen) choice.checked = true;
    const sample = `/styles/${encodeURIComponent(name)}.jpg${own ? `?version=${version}` : ""}`;
    Object.assign(picture, { src: sample, alt: "", loading: "lazy" });
    label.title = artwork || name;
    label.append(choice, picture, name);
    element("styles").append(label);
  }
  listMixes();
  showOwnStyle();
}

function selected() {
  return document.querySelector("input[name=style]:checked")?.value;
}

// Two styles can be mixed in a folder that has both.
function mixedIn(name, other) {
  const [one, two] = [name, other].map((wanted) => styles.find((style) => style.name === wanted));
  return one?.mixed_in.find((folder) => two?.mixed_in.includes(folder));
}

function listMixes() {
  const mix = element("mix");
  const before = mix.value;
  const others = styles.filter(({ name }) => name !== selected() && mixedIn(name, selected()));
  mix.replaceChildren(mix.options[0], ...others.map(({ name }) => new Option(name, name)));
  mix.value = others.some(({ name }) => name === before) ? before : "";
  element("mix-label").hidden = others.length === 0;
  element("share-label").hidden = !mix.value;
}

async function showFeatures() {
  const features = await (await fetch("/features")).json();
  element("faces-label").hidden = !features.protect_faces;
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
  const style = selected();
  const other = element("mix").value;
  const folder = other ? mixedIn(style, other) : style;
  const how = new URLSearchParams({
    strength: element("strength").value / 100,
    protect_faces: element("faces").value / 100,
    preserve_color: element("colors").checked,
    scale: element("scale").value,
  });
  if (other) {
    const share = element("share").value / 100;
    how.set("style", `${style}:${(1 - share).toFixed(2)},${other}:${share.toFixed(2)}`);
  }
  if (element("size").value) how.set("max_size", element("size").value);
  element("error").textContent = "";
  const title = other ? `${style} and ${other}` : style;
  element("message").textContent = `Painting in the style of ${title}…`;
  const progress = startProgress();
  try {
    const started = performance.now();
    const mask = await paintedMask();
    let body = new Blob([photo], { type: "application/octet-stream" });
    if (mask) {
      body = new FormData();
      body.set("picture", photo);
      body.set("mask", mask, "mask.png");
    }
    const url = `/stylize/${encodeURIComponent(folder)}?${how}`;
    const answer = await fetch(url, { method: "POST", body, signal: mine.signal });
    if (!answer.ok) throw new Error(await reason(answer));
    const stylized = await answer.blob();
    lastSeconds = (performance.now() - started) / 1000;
    show("after", stylized);
    offerToSave(stylized, title);
    element("message").textContent = `${title}, ${lastSeconds.toFixed(1)} s`;
  } catch (error) {
    if (error.name === "AbortError") return;
    element("message").textContent = "";
    element("error").textContent =
      error instanceof TypeError ? "The server does not answer. Is it still running?" : error.message;
    if (!element("after").src) element("save").hidden = true;
  } finally {
    stopProgress(progress);
  }
}

// A proxy and a full server (503) do not answer with JSON.
async function reason(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return `The server answers ${answer.status} ${answer.statusText}.`;
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
  element("webcam").textContent = "Take the picture";
}

function snapshot() {
  const video = element("camera");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob(take, "image/jpeg", 0.95);
}

function stopCamera() {
  const video = element("camera");
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  video.hidden = true;
  element("webcam").textContent = "Use the camera";
}

function changed(event) {
  if (event.target.closest("#own")) return;
  if (event.target.name === "style") {
    listMixes();
    showOwnStyle();
  }
  element("share-label").hidden = !element("mix").value;
  element("share-value").textContent = `${element("share").value}%`;
  element("strength-value").textContent = `${element("strength").value}%`;
  element("faces-value").textContent = `${element("faces").value}%`;
  element("scale-value").textContent = `${element("scale").value}×`;
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
    const painting = event.target.closest?.("#drop-painting");
    element("drop").classList.toggle("over", kind === "dragover" && !painting);
    element("drop-painting").classList.toggle("over", kind === "dragover" && !!painting);
    if (kind === "drop") (painting ? addPainting : take)(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
element("webcam").hidden = !navigator.mediaDevices;
showFeatures();
listStyles().then(() => beginOwnStyles());
