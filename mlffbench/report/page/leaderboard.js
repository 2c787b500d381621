// Leaderboard: models × modes, sortable, filtered, recomputed.
const Leaderboard = (() => {
  const { element, number, range, interval, name } = Text;
  const MEASURES = {
    error: { title: "Error", unit: "meV/Å", factor: 1000, of: (cell) => cell.error },
    gap: { title: "Gap to ID", unit: "meV/Å", factor: 1000, of: (cell) => cell.gap, linear: true },
    ratio: { title: "Ratio to ID", unit: "×", factor: 1, of: (cell) => cell.ratio },
    baseline: { title: "Against baseline", unit: "×", factor: 1, of: (cell) => cell.to_baseline, verdict: "verdict", reason: "reason", adjusted: "adjusted_p" },
    prior: { title: "Against its prior", unit: "×", factor: 1, of: (cell) => cell.to_prior, verdict: "prior_verdict", reason: "prior_reason", adjusted: "prior_adjusted_p" },
  };
  let board;
  let state;
  let run = 0; // number of the newest recomputation

  function show(chosen) {
    board = chosen;
    const elements = new Set(board.cells.elements);
    state = {
      measure: "error", all: elements, elements: new Set(elements), common: false,
      hidden: new Set(), sort: null, rows: board.rows, n: total(), filtered: false,
    };
    drawControls();
    draw();
  }

  const total = () => board.splits.reduce((sum, split) => sum + split.n, 0);
  const labels = () => [...new Set(board.rows.map((row) => row.label))];
  const visible = () => state.rows.filter((row) => !state.hidden.has(row.label));

  function chip(text, checked, onchange, title) {
    const input = element("input", { type: "checkbox", checked, "aria-label": title || text, onchange: () => onchange(input.checked) });
    return element("label", { class: "chip" }, input, element("span", {}, text));
  }

  function drawControls() {
    const form = document.getElementById("filters");
    const measures = Object.entries(MEASURES).map(([key, measure]) => element("button", {
      type: "button", "data-measure": key, "aria-pressed": String(key === state.measure),
      onclick: () => { state.measure = key; drawPressed(); draw(); },
    }, measure.title));
    const chips = [...state.all].map((symbol) => chip(symbol, state.elements.has(symbol), (on) => {
      if (on) state.elements.add(symbol); else state.elements.delete(symbol);
      refresh();
    }, `structures with ${symbol}`));
    const rows = labels().map((label) => chip(Text.plain(label, 28), !state.hidden.has(label), (on) => {
      if (on) state.hidden.delete(label); else state.hidden.add(label);
      if (state.common) refresh(); else draw();
    }, `show ${Text.plain(label, 60)}`));
    form.replaceChildren(
      element("fieldset", {}, element("legend", {}, "Show"), ...measures),
      element("fieldset", {}, element("legend", {}, "Elements"), ...chips),
      element("fieldset", {}, element("legend", {}, "Structures"), chip("only those every shown model evaluated", state.common, (on) => {
        state.common = on;
        refresh();
      })),
      element("fieldset", {}, element("legend", {}, "Models"), ...rows),
      element("button", { type: "button", id: "reset", onclick: () => show(board) }, "Reset"),
    );
    form.onsubmit = (event) => event.preventDefault();
  }

  function drawPressed() {
    for (const button of document.querySelectorAll("[data-measure]")) {
      button.setAttribute("aria-pressed", String(button.dataset.measure === state.measure));
    }
  }

  async function refresh() {
    run += 1;
    const mine = run;
    const everything = state.elements.size === state.all.size && !state.common;
    if (everything) {
      Object.assign(state, { rows: board.rows, n: total(), filtered: false });
      draw();
      return;
    }
    status("Recomputing …", true);
    const shown = board.rows.flatMap((row, place) => (state.hidden.has(row.label) ? [] : [place]));
    const filter = { elements: new Set(state.elements), rows: state.common ? shown : null };
    const pause = () => new Promise((go, stop) => {
      setTimeout(() => (mine === run ? go() : stop(new Error("superseded"))), 0);
    });
    try {
      Object.assign(state, await Recompute.compute(board, filter, pause), { filtered: true });
      draw();
    } catch (error) {
      if (error.message !== "superseded") throw error;
    }
  }

  function status(text, busy = false) {
    const line = document.getElementById("board-status");
    line.textContent = text;
    line.classList.toggle("busy", busy);
  }

  function columns() {
    const measure = MEASURES[state.measure];
    const splits = board.splits
      .filter((split) => state.measure !== "gap" && state.measure !== "ratio" ? true : split.role.startsWith("ood"))
      .map((split) => ({ key: `split:${split.name}`, split, of: (row) => measure.of(row.cells[split.name]) }));
    return [
      ...splits,
      { key: "gap", title: "Largest gap", sub: "meV/Å, OOD − ID", of: (row) => row.largest_gap, factor: 1000 },
      { key: "ratio", title: "Largest ratio", sub: "OOD / ID", of: (row) => row.largest_ratio, factor: 1 },
      { key: "worst", title: "Worst molecule", sub: "meV/Å", of: (row) => row.worst, factor: 1000 },
      { key: "cost", title: "Cost", sub: "ms per structure", of: (row) => ({ value: row.seconds_per_structure }), factor: 1000 },
    ];
  }

  function sorted(rows, all) {
    if (!state.sort) return rows;
    const { key, down } = state.sort;
    const column = all.find((one) => one.key === key);
    const value = (row) => {
      if (key === "model") return `${row.label} ${row.mode}`;
      const found = column && column.of(row);
      return found && Number.isFinite(found.value) ? found.value : null;
    };
    // what is missing stays last in either direction
    return [...rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return down ? -order : order;
    });
  }

  function heading(column) {
    const on = state.sort && state.sort.key === column.key;
    const turn = () => {
      state.sort = { key: column.key, down: on ? !state.sort.down : false };
      draw();
      document.querySelector(`[data-sort="${CSS.escape(column.key)}"]`).focus();
    };
    const arrow = on ? (state.sort.down ? " ↓" : " ↑") : "";
    const title = column.split ? Text.plain(column.split.name, 24) : column.title;
    const sub = column.split ? column.split.shift : column.sub;
    return element("th", {
      scope: "col", class: column.edge ? "edge" : null, "aria-sort": on ? (state.sort.down ? "descending" : "ascending") : null,
    }, element("button", { type: "button", "data-sort": column.key, onclick: turn, title: column.split ? Text.plain(column.split.shift_rule || column.split.rule, 300) : null }, element("bdi", {}, ...Text.breakable(title)), arrow, sub ? element("small", {}, Text.plain(sub.replace("_", " "), 30)) : null));
  }

  // The place of a number on the scale of all numbers shown: from 0 to 1, or beyond it.
  function scale(all, rows) {
    const measure = MEASURES[state.measure];
    const found = rows.flatMap((row) => all.filter((column) => column.split).map((column) => column.of(row))).filter(Boolean);
    const bend = measure.linear ? (x) => x : Math.log;
    const [low, high] = (measure.linear ? linearRange(found) : Scale.logRange(found)).map(bend);
    return low < high ? (x) => (measure.linear || x > 0 ? (bend(x) - low) / (high - low) : -Infinity) : () => 0.5;
  }

  // From the least to the largest number, and as far again for intervals.
  function linearRange(found) {
    const values = found.map((one) => one.value);
    const ends = found.flatMap((one) => [one.low, one.high]).filter(Number.isFinite);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const room = (most - least) / 2;
    return [Math.max(Math.min(least, ...ends), least - room), Math.min(Math.max(most, ...ends), most + room)];
  }

  function bar(found, place) {
    const within = (x) => Math.min(1, Math.max(0, place(x)));
    const track = element("span", { class: "bar", "aria-hidden": "true" });
    if (found.low !== null && found.low !== undefined) {
      const line = element("i", { class: [place(found.low) < -1e-9 && "down", place(found.high) > 1 + 1e-9 && "up"].filter(Boolean).join(" ") });
      line.style.left = `${(100 * within(found.low)).toFixed(1)}%`;
      line.style.right = `${(100 - 100 * within(found.high)).toFixed(1)}%`;
      track.append(line);
    }
    const dot = element("b");
    dot.style.left = `${(100 * within(found.value)).toFixed(1)}%`;
    track.append(dot);
    return track;
  }

  // An interval on one line; the range of the molecules may take two.
  function around(found, factor) {
    const [first, ...rest] = interval(found, factor).split("molecules ");
    if (!rest.length) return element("span", { class: "range" }, first);
    return element("span", { class: "range two" }, "molecules ", element("span", { class: "whole" }, ...rest));
  }

  function splitCell(row, column, place) {
    const cell = row.cells[column.split.name];
    const measure = MEASURES[state.measure];
    const found = column.of(row);
    const made = element("td", { class: column.edge ? "edge" : null, "data-split": column.split.name });
    if (!found) {
      made.append(Text.DASH);
      const why = row.cells[column.split.name];
      if (!why.evaluated && why.skipped) made.append(element("span", { class: "range" }, `${why.skipped} skipped`));
      return made;
    }
    const sign = measure.unit === "×" ? "×" : "";
    const value = element("span", { class: "value" }, sign + number(found.value * measure.factor));
    made.append(value);
    if (state.measure === "error" && cell.leading) {
      const best = visible().every((other) => !(other.cells[column.split.name].leading && other.cells[column.split.name].error.value < cell.error.value));
      value.append(element("span", { class: "lead-mark", title: best ? "least error" : "not shown to be worse than the least" }, best ? "◆" : "◇"));
    }
    made.append(around(found, measure.factor));
    made.title = `${found.n} structures, ${found.n_molecules} molecules`;
    if (measure.verdict) {
      made.append(element("span", { class: `range ${cell[measure.verdict]}` }, cell[measure.verdict]));
      if (cell[measure.reason]) made.title += `; ${Text.plain(cell[measure.reason])}`;
      if (Number.isFinite(cell[measure.adjusted])) made.title += `; p after Holm ${number(cell[measure.adjusted])}`;
    }
    made.append(bar(found, place));
    return made;
  }

  function otherCell(row, column) {
    const found = column.of(row);
    const made = element("td", { class: column.edge ? "edge" : null, "data-column": column.key });
    if (!found || !Number.isFinite(found.value)) { made.append(Text.DASH); return made; }
    made.append(element("span", { class: "value" }, (column.key === "ratio" ? "×" : "") + number(found.value * column.factor)));
    if (column.key === "gap" || column.key === "ratio") made.append(element("span", { class: "range" }, range(found.low, found.high, column.factor)));
    if (found.split) made.append(element("span", { class: "range" }, name(found.molecule || found.split.replace(/^ood_/, ""), 40)));
    return made;
  }

  function line(row, all, place) {
    const tag = { floor: "floor", prior: "prior" }[row.kind];
    const who = element("th", { scope: "row" }, name(row.label, 60), tag ? element("span", { class: "kind" }, tag) : null, element("span", { class: "mode" }, name(row.mode, 40)));
    const cells = all.map((column) => (column.split ? splitCell(row, column, place) : otherCell(row, column)));
    return element("tr", { class: row.kind, "data-row": row.run }, who, ...cells);
  }

  function draw() {
    const all = columns();
    const splits = all.filter((column) => column.split);
    const firstOod = splits.find((column) => column.split.role.startsWith("ood"));
    if (firstOod && firstOod !== splits[0]) firstOod.edge = true;
    all[splits.length].edge = true;
    const rows = sorted(visible(), all);
    const place = scale(all, rows);
    const nId = splits.filter((column) => !column.split.role.startsWith("ood")).length;
    const over = (n, text, edge) => element("th", { scope: "colgroup", colspan: n, class: edge ? "edge" : null }, text);
    const band = element("tr", { class: "band" }, element("td"), nId ? over(nId, "ID") : null,
      splits.length - nId ? over(splits.length - nId, "OOD", nId) : null, over(4, "over all splits", true));
    const head = element("tr", {}, heading({ key: "model", title: "Model", sub: "mode" }), ...all.map(heading));
    document.getElementById("board-table").replaceChildren(element("table", {}, Text.captioned("Leaderboard"),
      element("thead", {}, band, head), element("tbody", {}, ...rows.map((row) => line(row, all, place)))));
    const measure = MEASURES[state.measure];
    const blocks = board.cells.blocks && state.filtered ? ` Intervals: over ${board.cells.blocks} blocks of molecules.` : "";
    const what = `Force MAE, ${measure.title.toLowerCase()} (${measure.unit}).`;
    const none = state.filtered && !state.n ? " No structure is left: loosen the filter." : "";
    status(state.filtered
      ? `${what} Recomputed for ${number0(state.n)} of ${number0(total())} structures.${blocks}${none}`
      : `${what} All ${number0(total())} test structures, numbers as stored.`);
  }

  const number0 = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

  return { show };
})();
