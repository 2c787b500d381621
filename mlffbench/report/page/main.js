// Main: the page comes together.
(() => {
  const payload = JSON.parse(document.getElementById("payload").textContent);
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const prefers = window.matchMedia("(prefers-color-scheme: dark)");

  function setTheme(dark) {
    root.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(dark));
    Figure.redrawAll();
  }

  function show(place) {
    const board = payload.boards[place];
    for (const part of document.querySelectorAll("[data-board]")) part.hidden = part.dataset.board !== String(place);
    Leaderboard.show(board);
    Modes.show(board);
    Shifts.show(board);
    Errors.show(board);
  }

  Scroll.start();

  button.addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));
  prefers.addEventListener("change", (event) => setTheme(event.matches));
  setTheme(prefers.matches);
  const pick = document.getElementById("board");
  if (pick) pick.addEventListener("change", () => show(Number(pick.value)));
  if (payload.boards.length) show(0);

  // On paper: light, everything drawn, everything open.
  let before = null;
  window.addEventListener("beforeprint", () => {
    before = root.dataset.theme === "dark";
    root.dataset.theme = "light";
    for (const part of document.querySelectorAll("details")) part.open = true;
    Figure.print(true);
  });
  window.addEventListener("afterprint", () => {
    root.dataset.theme = before ? "dark" : "light";
    Figure.print(false);
  });

  const links = [...document.querySelectorAll("nav a")];
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      for (const link of links) {
        if (link.hash === `#${target.id}`) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-40% 0px -55% 0px" });
  document.querySelectorAll("main > section").forEach((part) => seen.observe(part));
})();
