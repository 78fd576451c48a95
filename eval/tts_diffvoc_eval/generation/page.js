"use strict";
const $ = (selector) => document.querySelector(selector);

// ---- light and dark ----
const root = document.documentElement;
function setTheme(dark) {
  root.dataset.theme = dark ? "dark" : "light";
  $("#theme").textContent = dark ? "Light" : "Dark";
  $("#theme").setAttribute("aria-pressed", String(dark));
}
setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
$("#theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));
$("#theme").hidden = false;

// ---- the players: links to sounds, which play in place ----
const audio = new Audio();
let playing = null;

function stop() {
  audio.pause();
  if (!playing) return;
  playing.classList.remove("playing");
  playing.setAttribute("aria-pressed", "false");
  playing.querySelector(".cursor").style.opacity = 0;
  playing = null;
}

function follow() {
  if (!playing) return;
  const cursor = playing.querySelector(".cursor");
  cursor.style.opacity = 0.85;
  cursor.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
  requestAnimationFrame(follow);
}

function play(link) {
  const again = link === playing;
  stop();
  if (again) return;
  playing = link;
  link.classList.add("playing");
  link.setAttribute("aria-pressed", "true");
  audio.src = link.href;
  audio.play().then(follow).catch((error) => {
    if (error.name === "AbortError") return; // another one was started meanwhile
    stop();
    $("#status").textContent = `This browser cannot play ${link.getAttribute("href")}.`;
  });
}
audio.addEventListener("ended", stop);

for (const link of document.querySelectorAll("a.sound")) {
  link.setAttribute("role", "button");
  link.setAttribute("aria-pressed", "false");
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, as from any link
    event.preventDefault();
    play(link);
  });
  link.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    play(link);
  });
}

// ---- the film ----
const film = $("#film img.film");
const pause = $("#pause");
function roll(on) {
  for (const source of document.querySelectorAll("#film source")) source.remove(); // the choice is made by hand now
  film.src = on ? film.dataset.film : film.dataset.still;
  pause.textContent = on ? "Stop the film" : "Play the film";
  pause.dataset.rolling = on;
}
pause.hidden = false;
pause.dataset.rolling = !matchMedia("(prefers-reduced-motion: reduce)").matches;
pause.textContent = pause.dataset.rolling === "true" ? "Stop the film" : "Play the film";
pause.addEventListener("click", () => roll(pause.dataset.rolling !== "true"));
