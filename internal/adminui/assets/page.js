// Keeps the page fresh: asks for it again and puts the new <main> in place of
// the old one. While the tab is hidden it asks for nothing.
"use strict";
(() => {
  const every = 2000; // milliseconds
  let busy = false;

  async function refresh() {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch("/statusz", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(answer.statusText);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const scrolled = [...document.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
      document.title = next.title;
      document.querySelector("main").replaceWith(document.adoptNode(next.querySelector("main")));
      document.querySelectorAll(".scroll").forEach((box, i) => { box.scrollLeft = scrolled[i] || 0; });
    } catch {
      document.getElementById("stale").hidden = false;
    } finally {
      busy = false;
    }
  }
  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);
})();
