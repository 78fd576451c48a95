"use strict";
// Links to sounds play in place, one at a time; the space bar works as on a button.
const audio = new Audio();
let playing = null;

function stop() {
  audio.pause();
  playing?.classList.remove("playing");
  playing?.setAttribute("aria-pressed", "false");
  playing = null;
}

function play(link) {
  const again = link === playing;
  stop();
  if (again) return;
  playing = link;
  link.classList.add("playing");
  link.setAttribute("aria-pressed", "true");
  audio.src = link.href;
  audio.play().catch((error) => {
    if (error.name === "AbortError") return; // another one was started meanwhile
    stop();
    document.querySelector("#status").textContent = `This browser cannot play ${link.getAttribute("href")}.`;
  });
}

audio.addEventListener("ended", stop);
audio.addEventListener("timeupdate", () => {
  playing?.querySelector(".cursor").style.setProperty("left", `${(100 * audio.currentTime) / (audio.duration || 1)}%`);
});
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
