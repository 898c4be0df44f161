"use strict";

// Paints on the server, which also lists the styles.
let styles = []; // what the server lists

async function listStyles(chosen) {
  styles = await (await fetch("/styles")).json();
  const sample = ({ name, own, version }) =>
    `/styles/${encodeURIComponent(name)}.jpg${own ? `?version=${version}` : ""}`;
  showStyles(styles.map((style) => ({ ...style, sample: sample(style) })), chosen);
  listMixes();
  showOwnStyle();
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

function title() {
  const other = element("mix").value;
  return other ? `${selected()} and ${other}` : selected();
}

async function paint(photo, mask, signal) {
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
  let body = new Blob([photo], { type: "application/octet-stream" });
  if (mask) {
    body = new FormData();
    body.set("picture", photo);
    body.set("mask", mask, "mask.png");
  }
  const answer = await answerOf(`/stylize/${encodeURIComponent(folder)}?${how}`, { method: "POST", body, signal });
  return { stylized: await answer.blob() };
}

async function showFeatures() {
  const features = await (await fetch("/features")).json();
  element("faces-label").hidden = !features.protect_faces;
}

async function answerOf(url, options) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (!answer.ok) throw new Error(await reason(answer));
  return answer;
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

for (const kind of ["input", "change"]) {
  element("choices").addEventListener(kind, ({ target }) => {
    if (target.name === "style") {
      listMixes();
      showOwnStyle();
    }
    element("share-label").hidden = !element("mix").value;
  });
}
showFeatures();
listStyles().then(() => beginOwnStyles());
