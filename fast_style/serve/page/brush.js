"use strict";

// The brush: a canvas over the picture, painted where it shall be stylized. Nothing painted: everywhere.
const MASK_SIZE = 768; // pixels of the mask's long side
const canvas = element("mask");
const brush = { x: 0, y: 0, isDown: false, hasPainted: false };

function clearMask() {
  const picture = element("before");
  brush.hasPainted = false;
  showBrush(false);
  picture.decode().then(() => {
    const scale = Math.min(1, MASK_SIZE / Math.max(picture.naturalWidth, picture.naturalHeight));
    canvas.width = Math.max(1, Math.round(picture.naturalWidth * scale));
    canvas.height = Math.max(1, Math.round(picture.naturalHeight * scale));
    [brush.x, brush.y] = [canvas.width / 2, canvas.height / 2];
  }, () => {}); // the server says what is wrong with it
}

function showBrush(shown) {
  canvas.hidden = !shown;
  element("brushing").hidden = !shown;
  element("brush").setAttribute("aria-pressed", shown);
  element("divide").hidden = shown;
  element("result").style.setProperty("--divide", shown ? "0%" : `${element("divide").value}%`);
}

function radius() {
  return (element("brush-size").value / 100) * Math.max(canvas.width, canvas.height) / 2;
}

function stroke(x, y) {
  const pen = canvas.getContext("2d");
  const erases = element("erase").getAttribute("aria-pressed") === "true";
  pen.globalCompositeOperation = erases ? "destination-out" : "source-over";
  pen.strokeStyle = pen.fillStyle = "#fff";
  pen.lineCap = "round";
  pen.lineWidth = 2 * radius();
  pen.beginPath();
  pen.moveTo(brush.x, brush.y);
  pen.lineTo(x, y);
  pen.stroke();
  pen.beginPath(); // a line of no length paints nothing
  pen.arc(x, y, radius(), 0, 2 * Math.PI);
  pen.fill();
  brush.hasPainted = true;
  [brush.x, brush.y] = [x, y];
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * canvas.width,
    ((event.clientY - box.top) / box.height) * canvas.height,
  ];
}

// White where it is stylized, on black; null if nothing is painted.
async function paintedMask() {
  if (!brush.hasPainted) return null;
  const mask = document.createElement("canvas");
  [mask.width, mask.height] = [canvas.width, canvas.height];
  const pen = mask.getContext("2d");
  pen.fillRect(0, 0, mask.width, mask.height);
  pen.drawImage(canvas, 0, 0);
  return new Promise((done) => mask.toBlob(done, "image/png"));
}

function paintAgain() {
  clearTimeout(settling);
  settling = setTimeout(stylize, SETTLED_AFTER);
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  brush.isDown = true;
  [brush.x, brush.y] = place(event);
  stroke(brush.x, brush.y);
});
canvas.addEventListener("pointermove", (event) => {
  if (brush.isDown) stroke(...place(event));
});
for (const kind of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(kind, () => {
    brush.isDown = false;
    paintAgain();
  });
}
canvas.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [across, down] = steps[event.key] ?? [0, 0];
  if (!(event.key in steps) && event.key !== " ") return;
  event.preventDefault();
  brush.x = Math.min(Math.max(brush.x + across * radius(), 0), canvas.width);
  brush.y = Math.min(Math.max(brush.y + down * radius(), 0), canvas.height);
  if (event.key === " ") {
    stroke(brush.x, brush.y);
    paintAgain();
  }
  const part = (value, all) => Math.round((100 * value) / all);
  element("message").textContent =
    `Brush at ${part(brush.x, canvas.width)}% across, ${part(brush.y, canvas.height)}% down`;
});
element("brush").addEventListener("click", () => {
  showBrush(canvas.hidden);
  if (!canvas.hidden) canvas.focus();
});
element("erase").addEventListener("click", ({ target }) => {
  target.setAttribute("aria-pressed", target.getAttribute("aria-pressed") !== "true");
});
element("everywhere").addEventListener("click", () => {
  clearMask();
  paintAgain();
});
