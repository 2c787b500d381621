// Modes: does refinement help, what does it cost, does it harm where nothing was wrong?
const Modes = (() => {
  const { element, number, label, name, table } = Text;

  function show(board) {
    const models = [...new Set(board.rows.filter((row) => row.mode !== "baseline").map((row) => row.label))];
    const controls = document.getElementById("modes-controls");
    const figures = document.getElementById("modes-figures");
    const tables = document.getElementById("modes-tables");
    if (!models.length) {
      controls.replaceChildren();
      figures.replaceChildren(element("p", { class: "what" }, "No mode beside baseline was run. Add one with --mode ttt or --mode rr."));
      tables.replaceChildren();
      return;
    }
    const draw = (place) => {
      const rows = board.rows.filter((row) => row.label === models[place] && row.mode !== "baseline");
      figures.replaceChildren(...[forest(board, rows), cost(board, rows), losses(rows)].filter(Boolean));
    };
    controls.replaceChildren(models.length > 1 ? Text.select("Model", models, draw) : "");
    draw(0);
    tables.replaceChildren(harmTable(board), ...radiusTable(board));
  }

  const isId = (split) => !split.role.startsWith("ood");

  function forest(board, rows) {
    const splits = board.splits;
    const place = (split, mode) => splits.indexOf(split) + 0.62 * ((mode + 0.5) / rows.length - 0.5);
    const nId = splits.filter(isId).length;
    const compared = rows.flatMap((row) => splits.map((split) => row.cells[split.name].to_baseline).filter(Boolean));
    const range = Scale.logRange(compared, 1, [1]);
    const traces = () => rows.flatMap((row, mode) => {
      const there = splits.filter((split) => row.cells[split.name].to_baseline);
      const found = there.map((split) => row.cells[split.name].to_baseline);
      const places = there.map((split) => place(split, mode));
      return [{
        type: "scatter", mode: "markers", name: label(row.mode), legendgroup: row.mode, x: found.map((one) => one.value),
        y: places, error_x: { ...Scale.bars(found, range), color: Figure.colour(mode) },
        marker: { color: Figure.colour(mode), symbol: Figure.symbol(mode), size: 9 },
        text: there.map((split, i) => `${label(split.name)}, ${label(row.mode)}: ×${number(found[i].value)} [${Text.interval(found[i])}], ${row.cells[split.name].verdict}`),
        hovertemplate: "%{text}<extra></extra>",
      }, ...Scale.arrows(found, places, range, { along: "x", colour: Figure.colour(mode), group: row.mode })];
    });
    const layout = (width) => ({
      height: 90 + 52 * splits.length,
      xaxis: Scale.logAxis("error over baseline's (log scale)", range, Math.floor((width - 130) / 42)),
      yaxis: { tickvals: splits.map((_, i) => i), ticktext: splits.map((split) => label(split.name)), autorange: false, range: [splits.length - 0.5, -0.5], automargin: true, showgrid: false, zeroline: false },
      shapes: [
        { type: "line", x0: 1, x1: 1, y0: -0.5, y1: splits.length - 0.5, line: { color: Figure.variable("--ink"), width: 1 } },
        ...(nId ? [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0: -0.5, y1: nId - 0.5, fillcolor: Figure.variable("--tint"), opacity: 0.6, line: { width: 0 }, layer: "below" }] : []),
      ],
    });
    return Figure.make({
      title: "Each mode against baseline", shape: "wide", height: 90 + 52 * splits.length,
      words: "Force MAE on the same structures; below 1 the mode is better. An interval that holds 1 is no verdict of better or worse; without an interval it cannot be judged. Shaded: ID splits, where a mode should not harm. An arrow: the interval goes on.",
      data: (width) => ({ traces: traces(), layout: layout(width) }),
      csv: () => [["model", "mode", "split", "ratio", "low", "high", "verdict"], ...rows.flatMap((row) => splits.map((split) => {
        const { to_baseline: one, verdict } = row.cells[split.name];
        return [row.label, row.mode, split.name, one && one.value, one && one.low, one && one.high, verdict];
      }))],
    });
  }

  function points(board, row) {
    const base = board.rows.find((one) => one.label === row.label && one.mode === "baseline");
    if (!base) return [];
    return board.splits.flatMap((split) => {
      const [ours, theirs] = [row.cells[split.name], base.cells[split.name]];
      if (!ours.to_baseline || !ours.seconds_per_structure || !theirs.seconds_per_structure) return [];
      return [{ split: split.name, cost: ours.seconds_per_structure / theirs.seconds_per_structure, gain: 100 * (1 - ours.to_baseline.value) }];
    });
  }

  function cost(board, rows) {
    const found = rows.map((row) => points(board, row));
    if (!found.some((one) => one.length)) return null;
    const range = Scale.logRange(found.flat().map((p) => ({ value: p.cost })));
    return Figure.make({
      title: "Gain against cost", words: "One point per split; the same machine and the same run for both.",
      data: (width) => ({
        traces: found.map((one, place) => ({
          type: "scatter", mode: "markers", name: label(rows[place].mode), x: one.map((p) => p.cost), y: one.map((p) => p.gain),
          marker: { color: Figure.colour(place), symbol: Figure.symbol(place), size: 9 },
          text: one.map((p) => `${label(p.split)}: ${p.gain.toFixed(0)} % less error at ${number(p.cost)}× the time`), hovertemplate: "%{text}<extra></extra>",
        })),
        layout: {
          xaxis: Scale.logAxis("wall clock over baseline's (log scale)", range, Math.floor((width - 70) / 55)),
          yaxis: Figure.axis("error removed (%)", { zeroline: true, zerolinecolor: Figure.variable("--ink") }),
        },
      }),
      csv: () => [["mode", "split", "time_over_baseline", "error_removed_percent"], ...found.flatMap((one, place) => one.map((p) => [rows[place].mode, p.split, p.cost, p.gain]))],
    });
  }

  function losses(rows) {
    const traced = rows.filter((row) => Object.keys(row.traces).length);
    if (!traced.length) return null;
    const range = Scale.logRange(traced.flatMap((row) => Object.values(row.traces).flatMap((one) => one.median.map((value) => ({ value })))));
    const lines = traced.flatMap((row, mode) => Object.entries(row.traces).map(([split, one], place) => ({ row, mode, split, one, place })));
    return Figure.make({
      title: "The prior's loss against gradient steps",
      words: `Median over the adapted units, relative to the start. This is what adaptation sees; the true error it never sees.${traced.length > 1 ? ` ${traced.map((row, i) => `${["Solid", "Dashed", "Dotted"][i] || "Other"}: ${Text.plain(row.mode, 30)}`).join("; ")}.` : ""}`,
      data: () => ({
        traces: lines.map(({ row, mode, split, one, place }) => ({
          type: "scatter", mode: "lines", name: label(split), legendgroup: split, showlegend: mode === 0, x: one.median.map((_, i) => i), y: one.median,
          line: { color: Figure.colour(place), dash: Figure.dash(mode), width: 1.8 },
          text: one.median.map((_, i) => `${label(row.mode)}, ${one.n} units, quartiles ${number(one.low[i])}–${number(one.high[i])}`), hovertemplate: "step %{x}: %{y:.3g}<br>%{text}<extra></extra>",
        })),
        layout: {
          xaxis: Figure.axis("gradient steps", { zeroline: false }),
          yaxis: Scale.logAxis("loss over its start (log scale)", range, 7),
        },
      }),
      csv: () => [["mode", "split", "step", "median", "lower_quartile", "upper_quartile", "units"], ...lines.flatMap(({ row, split, one }) => one.median.map((x, i) => [row.mode, split, i, x, one.low[i], one.high[i], one.n]))],
    });
  }

  function harmTable(board) {
    const ids = board.splits.filter(isId);
    const rows = board.rows.filter((row) => row.mode !== "baseline").map((row) => [
      row.label, row.mode, ...ids.map((split) => {
        const { to_baseline: one, verdict } = row.cells[split.name];
        if (!one) return Text.DASH;
        return element("span", { class: "inline" }, `×${number(one.value)} `, element("span", { class: "range" }, Text.interval(one)), element("span", { class: verdict }, verdict));
      }),
    ]);
    return element("div", {}, element("h3", {}, "Do no harm: each mode on the ID controls"), ids.length ? table("Do no harm", ["model", "mode", ...ids.map((split) => Text.plain(split.name, 30))], rows) : "There is no ID split.");
  }

  function percent(one) {
    if (!one) return Text.DASH;
    const whole = (x) => String(Math.round(100 * x) || 0).replace("-", "−");
    const ends = one.low === null ? "no interval" : `${whole(one.low)} to ${whole(one.high)} %`;
    return element("span", { class: "inline" }, `${whole(one.value)} % `, element("span", { class: "range" }, ends));
  }

  function radiusTable(board) {
    const rows = board.rows.flatMap((row) => board.splits.flatMap((split) => {
      const { radius, to_baseline: ratio } = row.cells[split.name];
      if (!radius) return [];
      return [[row.label, row.mode, split.name, `${radius.smallest.toFixed(2)}–${radius.largest.toFixed(2)}`, `${radius.n_refined} of ${radius.n}`, ratio ? `×${number(ratio.value)}` : Text.DASH, percent(radius.headroom), percent(radius.captured)]];
    }));
    if (!rows.length) return [];
    const words = "Headroom: share of baseline's error that the best radius for each structure would remove, known to an oracle that reads the labels (mlffbench diagnose --oracle). Captured: what the mode removed of that; below 0 it added error.";
    const save = element("button", { type: "button", class: "csv", onclick: () => Figure.save("radius refinement", [["model", "mode", "split", "headroom", "captured"], ...board.rows.flatMap((row) => board.splits.flatMap((split) => {
      const { radius } = row.cells[split.name];
      return radius ? [[row.label, row.mode, split.name, radius.headroom && radius.headroom.value, radius.captured && radius.captured.value]] : [];
    }))]) }, "CSV");
    const made = table("Radius refinement", ["model", "mode", "split", "radius Å", "refined", "to baseline", "headroom", "captured"], rows);
    return [element("h3", {}, "Radius refinement: what there was to gain ", save), element("p", { class: "what" }, words), made];
  }

  return { show };
})();
