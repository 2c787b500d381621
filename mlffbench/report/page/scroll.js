// Scroll: a table that is wider than its place says so, and fades where it goes on.
const Scroll = (() => {
  const changed = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const box = target.closest(".scroll");
      if (box) update(box); // a table that was replaced has none
    }
  });
  const known = new WeakSet();

  function update(box) {
    const hidden = box.scrollWidth - box.clientWidth;
    box.classList.toggle("wide", hidden > 1);
    box.classList.toggle("more", hidden - box.scrollLeft > 1);
  }

  function watch() {
    for (const box of document.querySelectorAll(".scroll")) {
      for (const part of [box, ...box.children]) {
        if (known.has(part)) continue;
        known.add(part);
        changed.observe(part);
      }
    }
  }

  function start() {
    document.addEventListener("scroll", ({ target }) => {
      if (target.classList && target.classList.contains("scroll")) update(target);
    }, { capture: true, passive: true });
    new MutationObserver(watch).observe(document.querySelector("main"), { childList: true, subtree: true });
    watch();
  }

  return { start };
})();
