"use strict";

// Styles that a person adds: a painting is a style at once, and can be learned.
let own = {}; // by name: what /v1/styles says of each
let paintings = {}; // by name: the files that were added on this page
let events = null; // the EventSource of the learning

async function beginOwnStyles() {
  const listed = await (await fetch("/v1/styles")).json();
  if (!listed.allowed) return;
  own = Object.fromEntries(listed.styles.map((status) => [status.name, status]));
  for (const option of element("minutes").options) option.hidden = option.value > listed.max_minutes;
  element("own").hidden = false;
  showOwnStyle();
  const learning = Object.values(own).find(({ state }) => state === "learning");
  if (learning) follow(learning.name);
}

function showOwnStyle() {
  const status = own[selected()];
  element("own-style").hidden = !status;
  if (!status) return;
  const { name, state, complete, error } = status;
  if (element("own-name").dataset.of !== name) element("own-name").value = name;
  element("own-name").dataset.of = name;
  // Without its file, a style would have to be added again to have another name.
  element("own-name").readOnly = state !== "predicted" || !paintings[name];
  element("learn").hidden = element("own-minutes").hidden = state === "learning" || complete;
  element("learn").textContent = state === "predicted" ? "Learn it" : "Learn on";
  if (error) element("own-error").textContent = `${name}: ${error}`;
}

async function request(method, path, body) {
  element("own-error").textContent = "";
  try {
    const answer = await answerOf(path, { method, body });
    return answer.status === 204 ? null : await answer.json();
  } catch (error) {
    element("own-error").textContent = error.message;
    return undefined;
  }
}

const pathOf = (name) => `/v1/styles/${encodeURIComponent(name)}`;

function freeName(file) {
  const stem = (file.name || "painting").replace(/\.[^.]*$/, "");
  const name = stem.replace(/[^\p{L}\p{N}_ -]+/gu, "_").trim().slice(0, 60) || "painting";
  const taken = new Set(styles.map((style) => style.name));
  let number = 1;
  while (taken.has(number === 1 ? name : `${name} ${number}`)) number += 1;
  return number === 1 ? name : `${name} ${number}`;
}

async function add(file, name) {
  const status = await request("POST", `/v1/styles?name=${encodeURIComponent(name)}`, file);
  if (!status) return false;
  own[name] = status;
  paintings[name] = file;
  return true;
}

async function addPainting(file) {
  if (!file) return;
  const name = freeName(file);
  element("own-message").textContent = "Looking at the painting…";
  const added = await add(new Blob([file], { type: "application/octet-stream" }), name);
  element("own-message").textContent = added ? "Predicted. Learn it for a closer likeness." : "";
  element("painting").value = "";
  if (!added) return;
  await listStyles(name);
  stylize();
}

async function learn() {
  let name = selected();
  const wanted = element("own-name").value.trim();
  if (wanted !== name && paintings[name]) {
    if (!(await add(paintings[name], wanted))) return;
    await request("DELETE", pathOf(name));
    forget(name);
    name = wanted;
    await listStyles(name);
  }
  const status = await request("POST", `${pathOf(name)}:learn?minutes=${element("minutes").value}`);
  if (!status) return;
  element("own-message").textContent = `Learning ${name}.`;
  follow(name);
}

function follow(name) {
  events?.close();
  events = new EventSource(`${pathOf(name)}/progress`);
  element("learning").hidden = false;
  element("stop").dataset.of = name;
  events.onmessage = ({ data }) => {
    const before = own[name];
    const status = (own[name] = JSON.parse(data));
    showProgress(status);
    if (status.state !== "learning") {
      events.close();
      element("learning").hidden = true;
      const told = status.complete ? `${name} is learned.` : `${name} is kept as it is.`;
      element("own-message").textContent = status.state === "learned" ? told : "";
      listStyles();
    } else if (before?.state !== "learning") {
      showOwnStyle();
    }
    if (before?.version !== status.version && selected() === name) stylize();
  };
}

function showProgress({ name, step, steps, seconds_left: left }) {
  const part = steps ? Math.round((100 * step) / steps) : 0;
  element("learned-part").setAttribute("aria-valuenow", part);
  element("learned-part").firstElementChild.style.width = `${part}%`;
  let text = "preparing";
  if (steps) text = step === steps ? "finishing" : `step ${step} of ${steps}`;
  if (left) text += `, ${Math.floor(left / 60)}:${String(Math.floor(left % 60)).padStart(2, "0")} left`;
  element("learning-text").textContent = `${name}: ${text}`;
  element("learned-part").setAttribute("aria-valuetext", text);
}

function forget(name) {
  delete own[name];
  delete paintings[name];
}

async function deleteStyle() {
  const name = selected();
  if (!confirm(`Delete the style ${name}?`)) return;
  if ((await request("DELETE", pathOf(name))) === undefined) return;
  if (element("stop").dataset.of === name) {
    events?.close();
    element("learning").hidden = true;
  }
  forget(name);
  element("own-message").textContent = `${name} is deleted.`;
  await listStyles();
  stylize();
}

element("painting").addEventListener("change", (event) => addPainting(event.target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  element("drop-painting").addEventListener(kind, (event) => {
    element("drop-painting").classList.toggle("over", kind === "dragover");
    if (kind === "drop") addPainting(event.dataTransfer.files[0]);
  });
}
element("learn").addEventListener("click", learn);
element("delete").addEventListener("click", deleteStyle);
element("stop").addEventListener("click", async ({ target }) => {
  await request("POST", `${pathOf(target.dataset.of)}:stop`);
});
