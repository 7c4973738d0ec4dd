"use strict";
// Everything that comes from the model (labels, names, figures) is put into the page as text, never as markup.

const MOST_BARS = 12;
const MOST_SHOWN = 16;
const MOST_CLASSES = 60;
const PEN_STEP = 8;
const find = id => document.getElementById(id);
let token = "";
let card = null;

function make(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token ? { Authorization: "Bearer " + token } : {}) };
  const response = await fetch(path, { ...options, headers, cache: "no-store" });
  const text = await response.text();
  let answer;
  try { answer = JSON.parse(text); } catch { answer = { error: "the service answered " + response.status }; }
  if (!response.ok) throw Object.assign(new Error(answer.error), { status: response.status });
  return answer;
}

function problem(text) { find("problem").textContent = text; }

async function open() {
  try {
    card = await ask("card");
  } catch (error) {
    find("access").hidden = error.status !== 401;
    find("state").textContent = error.status === 401 && !token ? "Locked" : error.message;
    if (error.status === 401) find("token").focus();
    return;
  }
  find("access").hidden = true;
  show(card);
}

function show(card) {
  const served = card.served;
  document.title = card.name;
  find("name").textContent = card.name;
  find("server").textContent = card.server;
  find("state").textContent = served ? "Version " + served.version + " is served" : "No version is served yet";
  const warnings = Object.entries(card.refused).map(([version, why]) => "Version " + version + " is refused: " + why);
  if (card.unreachable) warnings.push("The registry can't be read: " + card.unreachable);
  find("warnings").replaceChildren(...warnings.map(text => make("li", text)));
  find("work").hidden = !served;
  if (!served) return;
  find("image-input").hidden = served.kind !== "image";
  find("vector-input").hidden = served.kind !== "vector";
  if (served.kind === "vector") find("numbers-label").textContent = served.shape[0] + " numbers, separated by commas or spaces:";
  const facts = { ...served.facts, Version: served.version, Digest: served.digest.slice(0, 12) };
  if (served.labels) facts.Classes = String(served.labels.length);
  find("facts").replaceChildren(...Object.entries(facts).map(([name, text]) => {
    const pair = make("div");
    pair.append(make("dt", name), make("dd", text));
    return pair;
  }));
  showConfusion(served);
}

function showConfusion(served) {
  const counts = served.confusion;
  find("confusion-section").hidden = !counts.length || counts.length > MOST_CLASSES;
  if (find("confusion-section").hidden) return;
  const head = make("tr");
  head.append(make("td"), ...served.class_names.map(name => heading(name, "col")));
  const rows = counts.map((row, actual) => {
    const total = row.reduce((sum, count) => sum + count, 0) || 1;
    const line = make("tr");
    line.append(heading(served.class_names[actual], "row"), ...row.map((count, predicted) => {
      const cell = make("td", String(count), actual === predicted ? "right" : "");
      const share = Math.round(60 * Math.sqrt(count / total));
      cell.style.background = `color-mix(in srgb, var(${actual === predicted ? "--best" : "--bad"}) ${share}%, transparent)`;
      return cell;
    }));
    return line;
  });
  const thead = make("thead"), tbody = make("tbody");
  thead.append(head);
  tbody.append(...rows);
  find("confusion").replaceChildren(thead, tbody);
}

function heading(text, scope) {
  const cell = make("th", text);
  cell.scope = scope;
  cell.title = text;
  return cell;
}

async function predict(options, names) {
  problem("");
  find("result").setAttribute("aria-busy", "true");
  try {
    const answer = await ask("predict", { method: "POST", ...options });
    const shown = answer.predictions.slice(0, MOST_SHOWN);
    find("result").replaceChildren(...shown.map((prediction, index) => result(prediction, names[index] || "", answer)));
    if (shown.length < answer.predictions.length) {
      find("result").append(make("p", `And ${answer.predictions.length - shown.length} more.`, "lead"));
    }
    if (card.served.version !== answer.version) await open();
  } catch (error) {
    problem(error.message);
  }
  find("result").removeAttribute("aria-busy");
}

function result(prediction, name, answer) {
  const one = make("article", undefined, "one");
  if (name) one.append(make("p", name, "lead"));
  if (prediction.value !== undefined) {
    one.append(make("h3", String(prediction.value)));
    return one;
  }
  one.append(make("h3", `${prediction.class_name}: ${percent(prediction.probability)}`));
  const order = prediction.probabilities.map((_, index) => index);
  order.sort((a, b) => prediction.probabilities[b] - prediction.probabilities[a]);
  const bars = make("ul", undefined, "bars");
  bars.append(...order.slice(0, MOST_BARS).map((index, rank) => {
    const line = make("li", undefined, rank === 0 ? "best" : "");
    const track = make("span", undefined, "track"), bar = make("span", undefined, "bar");
    bar.style.display = "block";
    bar.style.width = 100 * prediction.probabilities[index] + "%";
    track.setAttribute("aria-hidden", "true");
    track.append(bar);
    line.append(make("span", answer.class_names[index]), track, make("span", percent(prediction.probabilities[index]), "figure"));
    return line;
  }));
  one.append(bars);
  return one;
}

function percent(share) { return (100 * share).toFixed(1) + " %"; }

function predictFiles(files) {
  const chosen = [...files].slice(0, card.most_images);
  if (!chosen.length) return;
  const form = new FormData();
  for (const file of chosen) form.append("image", file, file.name);
  predict({ body: form }, chosen.map(file => file.name));
}

function predictNumbers() {
  const numbers = find("numbers").value.split(/[\s,;]+/).filter(text => text).map(Number);
  if (numbers.some(number => !Number.isFinite(number))) return problem("Something here is not a number.");
  const headers = { "Content-Type": "application/json" };
  predict({ body: JSON.stringify({ vector: numbers }), headers }, []);
}

function drawing() {
  const canvas = find("canvas"), brush = canvas.getContext("2d", { willReadFrequently: true });
  let last = null, pen = [140, 140], isDown = false;

  const ink = () => (find("dark").checked ? "#ffffff" : "#000000");
  const clear = () => {
    brush.fillStyle = find("dark").checked ? "#000000" : "#ffffff";
    brush.fillRect(0, 0, canvas.width, canvas.height);
    isDown = false;
  };
  const line = (from, to) => {
    brush.strokeStyle = ink();
    brush.lineWidth = 22;
    brush.lineCap = brush.lineJoin = "round";
    brush.beginPath();
    brush.moveTo(...from);
    brush.lineTo(...to);
    brush.stroke();
  };
  const place = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
  };
  const send = () => canvas.toBlob(blob => {
    const form = new FormData();
    form.append("image", blob, "drawing.png");
    predict({ body: form }, ["drawing"]);
  }, "image/png");

  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    line(last, last);
  });
  canvas.addEventListener("pointermove", event => {
    if (last) { const here = place(event); line(last, here); last = here; }
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, event => { if (last) { last = null; if (name === "pointerup") send(); } });
  }
  canvas.addEventListener("keydown", event => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (moves[event.key]) {
      const to = pen.map((value, axis) => Math.max(0, Math.min(canvas.width, value + PEN_STEP * moves[event.key][axis])));
      if (isDown) line(pen, to);
      pen = to;
    } else if (event.key === " ") {
      isDown = !isDown;
      if (isDown) line(pen, pen);
    } else if (event.key === "Enter") {
      send();
    } else if (event.key === "Delete") {
      clear();
    } else {
      return;
    }
    canvas.setAttribute("aria-label", `Drawing area, pen ${isDown ? "down" : "up"} at ${pen[0]}, ${pen[1]}`);
    event.preventDefault();
  });
  find("predict").addEventListener("click", send);
  find("clear").addEventListener("click", clear);
  find("dark").addEventListener("change", clear);
  clear();
}

function dropping() {
  const drop = find("drop");
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, event => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", event => { event.preventDefault(); predictFiles(event.dataTransfer.files); });
  // An image that misses its place would replace the page.
  for (const name of ["dragover", "drop"]) document.addEventListener(name, event => event.preventDefault());
  document.addEventListener("paste", event => { if (event.clipboardData.files.length) predictFiles(event.clipboardData.files); });
  find("file").addEventListener("change", event => predictFiles(event.target.files));
}

find("access").addEventListener("submit", event => {
  event.preventDefault();
  token = find("token").value.trim();
  find("token").value = "";
  open();
});
find("predict-numbers").addEventListener("click", predictNumbers);
drawing();
dropping();
open();
