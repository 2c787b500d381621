// Figure: a plot in the colours of the page, drawn when it is seen, with its data as CSV.
const Figure = (() => {
  const { element } = Text;
  // after Okabe & Ito, which colour-blind people can tell apart; each 3 : 1 on the paper
  const COLOURS = {
    light: ["#0072b2", "#d55e00", "#00865f", "#b8578d", "#b37a00", "#3a93cf", "#5a626b", "#7a3fa0"],
    dark: ["#56b4e9", "#ef8a4c", "#3fc79f", "#e29fc3", "#f0b73c", "#9bd3f2", "#aab2b9", "#d8bf4a"],
  };
  const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "x", "star", "triangle-down", "cross"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const ON_PAPER = 660; // pixels between the margins of a printed page
  const drawn = new Set();
  let isPrinting = false;
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) { watcher.unobserve(target); drawLater(target); }
    }
  }, { rootMargin: "300px" });

  // One after the other, so that the page answers in between.
  const waiting = [];
  function drawLater(plot) {
    drawn.add(plot);
    waiting.push(plot);
    if (waiting.length === 1) setTimeout(() => { library(); setTimeout(drawNext, 0); }, 0);
  }

  function drawNext() {
    const plot = waiting.shift();
    if (plot && plot.isConnected) plot.redraw();
    if (waiting.length) setTimeout(drawNext, 0);
  }

  // The library runs when the first figure is drawn, so that the numbers need not wait.
  function library() {
    if (!window.Plotly) {
      document.head.append(element("script", {}, document.getElementById("plotly").textContent));
    }
    return window.Plotly;
  }

  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isDark = () => document.documentElement.dataset.theme === "dark";
  const colour = (place) => COLOURS[isDark() ? "dark" : "light"][place % COLOURS.light.length];
  const symbol = (place) => SYMBOLS[place % SYMBOLS.length];
  const dash = (place) => DASHES[place % DASHES.length];

  function axis(title, more = {}) {
    const rule = variable("--rule");
    return {
      title: { text: title, standoff: 8, font: { size: 12 } }, gridcolor: rule, zerolinecolor: rule,
      linecolor: rule, ticks: "outside", tickcolor: rule, ticklen: 4, automargin: true, ...more,
    };
  }

  function layout(more) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", height: 340,
      font: { family: variable("--sans"), size: 12, color: variable("--ink") },
      margin: { l: 55, r: 12, t: 30, b: 45 }, hovermode: "closest",
      hoverlabel: { bgcolor: variable("--panel"), bordercolor: variable("--rule"), font: { color: variable("--ink") } },
      legend: { orientation: "h", y: 1.01, x: 0, font: { size: 11 }, yanchor: "bottom" }, ...more,
    };
  }

  const widthOf = (plot) => (isPrinting ? ON_PAPER : plot.clientWidth || ON_PAPER);

  // title, words below it, data(width) -> {traces, layout}, csv() -> rows
  function make({ title, words, data, csv, shape, height }) {
    const plot = element("div", { class: "plot", role: "img", "aria-label": `${title}. ${words || ""} The data are in the CSV.` });
    if (height) plot.style.minHeight = `${height}px`;
    plot.redraw = () => {
      const width = widthOf(plot);
      const made = data(width);
      // where a legend takes a line per entry, the plot must not pay for it
      const entries = made.layout.showlegend === false ? 0 : made.traces.filter((trace) => trace.showlegend !== false).length;
      const taller = width < 660 && entries > 4 ? 17 * entries : 0;
      const whole = (made.layout.height || height || 340) + taller;
      plot.style.minHeight = `${whole}px`;
      library().react(plot, made.traces, layout({
        ...made.layout, ...(isPrinting ? { width, autosize: false } : {}), height: whole,
      }), {
        responsive: true, displaylogo: false, displayModeBar: false,
      });
    };
    whenSeen(plot);
    const button = element("button", { type: "button", class: "csv", "aria-label": `CSV of ${title}`, onclick: () => save(title, csv()) }, "CSV");
    return element("figure", { class: shape }, element("figcaption", {}, element("span", {}, title), button),
      words ? element("p", {}, words) : null, plot);
  }

  // Draw a plot once it comes near the window.
  function whenSeen(plot) { watcher.observe(plot); }

  function quoted(value) {
    if (value === null || value === undefined) return "";
    const text = String(value);
    return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  function save(title, rows) {
    const text = rows.map((row) => row.map(quoted).join(",")).join("\n");
    const link = element("a", {
      href: URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" })),
      download: `${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.csv`,
    });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  // Draw in new colours, and forget what has left the page.
  function redrawAll() {
    for (const plot of drawn) {
      if (!plot.isConnected) { library().purge(plot); drawn.delete(plot); } else plot.redraw();
    }
  }

  // Draw everything as wide as paper, or what was drawn as wide as the window.
  function print(on) {
    isPrinting = on;
    if (on) document.querySelectorAll(".plot").forEach((plot) => drawn.add(plot));
    redrawAll();
  }

  // Another width may want other panels and ticks.
  let width = window.innerWidth;
  let later;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width || isPrinting) return;
    width = window.innerWidth;
    clearTimeout(later);
    later = setTimeout(redrawAll, 200);
  });

  return { make, library, save, whenSeen, redrawAll, print, axis, colour, symbol, dash, variable, isDark };
})();
