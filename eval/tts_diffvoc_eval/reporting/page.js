"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ---- light and dark ----
const root = document.documentElement;
function setTheme(dark) {
  root.dataset.theme = dark ? "dark" : "light";
  $("#theme").textContent = dark ? "Light" : "Dark";
  $("#theme").setAttribute("aria-pressed", String(dark));
}
setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
$("#theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));

// ---- the table ----
const table = $("#leaderboard table");

function compare(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === ""); // what is not known goes last, either way
  const numbers = [Number(a), Number(b)];
  const order = numbers.some(Number.isNaN) ? a.localeCompare(b) : numbers[0] - numbers[1];
  return sign * order;
}

function sortBy(header) {
  const place = header.cellIndex;
  const before = header.getAttribute("aria-sort");
  const first = header.dataset.first;
  const direction = before === null ? first : before === "ascending" ? "descending" : "ascending";
  for (const other of $$("thead th", table)) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, number) => ({ row, number, key: row.cells[place].dataset.key }));
  const sign = direction === "ascending" ? 1 : -1;
  rows.sort((a, b) => compare(a.key, b.key, sign) || a.number - b.number);
  body.append(...rows.map((entry) => entry.row));
  $("#status").textContent = `Sorted by ${header.dataset.label}, ${direction}.`;
}
for (const header of $$("thead th", table)) {
  $("button", header).addEventListener("click", () => sortBy(header));
}

for (const choice of $$("#views input")) {
  choice.addEventListener("change", () => { table.dataset.view = choice.value; });
  if (choice.checked) table.dataset.view = choice.value; // browsers remember choices over a reload
}

function chosenFamilies() {
  return new Set($$("#families input:checked").map((box) => box.value));
}

function filter() {
  const families = chosenFamilies();
  const rows = $$("tbody tr", table);
  for (const row of rows) row.hidden = !families.has(row.dataset.family);
  for (const card of $$(".player")) {
    card.hidden = !families.has(card.dataset.family) && card.dataset.system !== "original";
    if (card.hidden) for (const audio of $$("audio", card)) audio.pause();
  }
  $("#status").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} systems shown.`;
}

// ---- the pictures ----
function choosePictures() {
  const chosen = $("#metrics input:checked");
  for (const figure of $$("figure[data-metric]")) figure.hidden = chosen !== null && figure.dataset.metric !== chosen.value;
}
for (const choice of $$("#metrics input")) choice.addEventListener("change", choosePictures);
choosePictures();

// ---- the players ----
let sounding = null; // the player that is heard, or was last
let wanted = null; // the one that was started last

function takeOver(audio) {
  if (wanted === audio) return;
  for (const other of $$("#players audio")) {
    other.preload = "auto";
    if (other !== audio && other !== sounding) other.pause();
  }
  const before = sounding;
  wanted = audio;
  if (before === null || before === audio || before.ended || !$("#follow").checked) {
    if (before && before !== audio) before.pause();
    audio.muted = false;
    sounding = audio;
    return;
  }
  audio.muted = true; // until it has come to the place of the other, which is heard meanwhile
  const arrived = () => {
    if (wanted !== audio) return;
    audio.muted = false;
    before.pause();
    sounding = audio;
  };
  const go = () => {
    audio.addEventListener("seeked", arrived, { once: true });
    audio.currentTime = Math.min(before.currentTime, audio.duration - 0.05);
  };
  if (audio.readyState > 0) go();
  else audio.addEventListener("loadedmetadata", go, { once: true });
}

function current() {
  return { clip: $("#clip").value, seed: $("#seed").value };
}

function soundOf(system, clip, seed) {
  const takes = (data.sounds[system.name] || {})[clip] || {};
  if (seed in takes) return { ...takes[seed], seed };
  const [only] = Object.keys(takes);
  return only === undefined ? null : { ...takes[only], seed: only };
}

function spectrogram(sound, system, audio) {
  const image = make("img", { src: sound.spectrogram, alt: `Spectrogram of ${system.label}`, loading: "lazy" });
  const cursor = make("span", { className: "cursor" });
  const frame = make("div", { className: "spectrogram" }, image, cursor);
  const show = () => {
    cursor.style.opacity = audio.currentTime > 0 ? 0.8 : 0;
    cursor.style.left = `${(100 * audio.currentTime) / (audio.duration || sound.seconds || 1)}%`;
  };
  audio.addEventListener("timeupdate", show);
  audio.addEventListener("seeking", show);
  frame.addEventListener("click", (event) => {
    const part = (event.clientX - frame.getBoundingClientRect().left) / frame.clientWidth;
    for (const one of [audio, sounding || audio]) one.currentTime = part * (one.duration || sound.seconds || 0);
    audio.play();
  });
  return frame;
}

function player(system, sound) {
  const audio = make("audio", { controls: true, preload: "none", src: sound.audio });
  audio.setAttribute("aria-label", `${system.label}, ${current().clip}`);
  audio.addEventListener("play", () => takeOver(audio));
  return audio;
}

function card(system, clip, seed) {
  const title = make("header", {}, make("h3", { textContent: system.label }));
  const mark = document.createElement("span");
  mark.innerHTML = data.marks[system.family] || "";
  title.prepend(mark);
  const article = make("article", { className: `player ${system.name === "original" ? "original" : ""}` }, title);
  article.dataset.system = system.name;
  article.dataset.family = system.family;
  const sound = soundOf(system, clip, seed);
  if (sound && sound.seed !== seed && !system.deterministic) {
    title.append(make("small", { textContent: `seed ${sound.seed}: there is no seed ${seed}` }));
  }
  if (sound && sound.audio) {
    const audio = player(system, sound);
    if (sound.spectrogram) article.append(spectrogram(sound, system, audio));
    article.append(audio);
  }
  if (!sound) article.append(make("p", { className: "failed", textContent: "No record of this clip." }));
  else if (sound.error) article.append(make("p", { className: "failed", textContent: `Failed: ${sound.error}` }));
  else if (!sound.audio) article.append(make("p", { textContent: "The run kept no audio of this clip." }));
  if (sound && sound.scores) article.append(make("p", { className: "scores", textContent: sound.scores }));
  return article;
}

function fill() {
  const { clip, seed } = current();
  sounding = wanted = null;
  $("#players").replaceChildren(...data.systems.map((system) => card(system, clip, seed)));
  $("#three").replaceChildren(...data.three.flatMap(hearButton));
  filter();
}

function hearButton(name) {
  const [audio, image] = ["audio", "img"].map((tag) => $(`.player[data-system="${CSS.escape(name)}"] ${tag}`));
  if (!audio) return [];
  const { label } = data.systems.find((system) => system.name === name);
  const button = make("button", { type: "button", textContent: label });
  if (image) button.append(make("img", { src: image.src, alt: "" }));
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    if (!audio.paused) return audio.pause();
    takeOver(audio);
    audio.play();
  });
  for (const kind of ["play", "pause"]) audio.addEventListener(kind, () => button.setAttribute("aria-pressed", kind === "play"));
  return [button];
}

function hasAudio(clip) {
  return Object.values(data.sounds).some((clips) => Object.values(clips[clip] || {}).some((take) => take.audio));
}
const heard = new Set(data.clips.filter(hasAudio));
for (const clip of data.clips) {
  $("#clip").append(make("option", { value: clip, textContent: heard.has(clip) ? clip : `${clip} (no audio kept)` }));
}
if (heard.size) $("#clip").value = data.clips.find((clip) => heard.has(clip));
for (const seed of data.seeds) $("#seed").append(make("option", { value: seed, textContent: seed }));
for (const chooser of [$("#clip"), $("#seed")]) chooser.addEventListener("change", fill);
for (const box of $$("#families input")) box.addEventListener("change", filter);
fill();
$("#status").textContent = "";
