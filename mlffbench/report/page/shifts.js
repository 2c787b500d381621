// Shifts: histograms of every distance from training, and which of them warns of error.
const Shifts = (() => {
  const { element, number, label, table } = Text;

  function show(board) {
    const { models, runs, missing } = board.shifts;
    const names = Object.keys(models);
    const controls = document.getElementById("shifts-controls");
    const figures = document.getElementById("shifts-figures");
    const tables = document.getElementById("shifts-tables");
    const lacking = missing.length ? [element("div", { class: "note" }, element("ul", {}, ...missing.map((text) => element("li", {}, Text.plain(text, 400)))))] : [];
    if (!names.length) {
      controls.replaceChildren();
      figures.replaceChildren(element("p", { class: "what" }, "No run here has diagnostics.json, so there is nothing to show."));
      tables.replaceChildren(...lacking);
      return;
    }
    const first = board.rows.find((row) => row.kind === "model" && names.includes(row.label));
    const state = { model: first ? names.indexOf(first.label) : 0, diagnostic: 0 };
    const draw = () => {
      const model = models[names[state.model]];
      const shown = model.diagnostics.filter((one) => one.edges.length);
      const one = shown[Math.min(state.diagnostic, shown.length - 1)];
      const rows = board.rows.map((row, place) => ({ row, run: runs[place] })).filter(({ row, run }) => run && row.label === names[state.model]);
      controls.replaceChildren(
        select("Model", names, state.model, (place) => { state.model = place; draw(); }),
        select("Distance", shown.map((each) => `${each.label} (${each.kind.replace("_", " ")})`), shown.indexOf(one), (place) => { state.diagnostic = place; draw(); }),
      );
      figures.replaceChildren(histogram(model, one), ...curve(one, rows));
      tables.replaceChildren(...ranking(model, rows), ...labels(model), ...lacking);
    };
    draw();
  }

  function select(title, options, chosen, onchange) {
    const made = Text.select(title, options, onchange);
    made.querySelector("select").value = String(chosen);
    return made;
  }

  const axisTitle = (one) => (one.unit === "1" ? label(one.label, 60) : `${label(one.label, 60)} (${label(one.unit)})`);

  // The outermost bins reach as far as the values do; drawn, they are as wide as the others.
  function edgesOf(one) {
    const edges = [...one.edges];
    if (edges.length > 3) {
      const width = edges[2] - edges[1];
      edges[0] = edges[1] - width;
      edges[edges.length - 1] = edges[edges.length - 2] + width;
    }
    return edges;
  }

  // One panel per split beside training, all on the same axes.
  function histogram(model, one) {
    const there = model.samples.filter((sample) => one.samples[sample.name] && one.samples[sample.name].n);
    const train = there.find((sample) => sample.role === "train");
    const splits = there.filter((sample) => sample !== train);
    const panels = splits.length ? splits : there;
    const lacking = model.samples.filter((sample) => !there.includes(sample)).map((sample) => Text.plain(sample.name, 40));
    return Figure.make({
      title: `Histogram of ${Text.plain(one.label, 60)}`, shape: "wide",
      words: `Share of structures in shared bins, one panel per split. Grey: training${train ? ` (${one.samples[train.name].n})` : ""}; blue: ID, orange: OOD. The outer bins hold everything beyond.${lacking.length ? ` Not measured on ${lacking.join(", ")}.` : ""}`,
      data: (width) => panelled(one, train, panels, grid(panels.length, width)),
      csv: () => [["sample", "from", "to", "structures", "of"], ...there.flatMap((sample) => one.samples[sample.name].counts.map((count, i) => [sample.name, one.edges[i], one.edges[i + 1], count, one.samples[sample.name].n]))],
    });
  }

  // As few rows as leave every panel wide enough to read, with rows of like length.
  function grid(n, width) {
    const most = Math.max(1, Math.min(n, 4, Math.floor((width - 50) / 145)));
    const rows = Math.ceil(n / most);
    return { rows, columns: Math.ceil(n / rows), width };
  }

  function panelled(one, train, panels, { rows, columns, width }) {
    const edges = edgesOf(one);
    const shares = (sample) => one.samples[sample.name].counts.map((count) => count / one.samples[sample.name].n);
    const highest = Math.max(...[train, ...panels].filter(Boolean).flatMap(shares));
    const letters = Math.floor((width - 50) / columns / 7);
    const suffix = (place) => (place ? String(place + 1) : "");
    const trace = (sample, place, style) => {
      const values = shares(sample);
      return {
        type: "scatter", mode: "lines", name: label(sample.name), x: edges, y: [...values, values.at(-1)], fill: "tozeroy",
        xaxis: `x${suffix(place % columns)}`, yaxis: `y${suffix(Math.floor(place / columns))}`,
        hovertemplate: "%{x:.3g}: %{y:.1%}<extra>%{fullData.name}</extra>", ...style,
      };
    };
    const behind = () => ({ line: { shape: "hv", width: 1, color: Figure.variable("--train-line") }, fillcolor: Figure.variable("--train") });
    const front = (sample) => {
      const colour = Figure.colour(sample.role.startsWith("ood") ? 1 : 0);
      return { line: { shape: "hv", width: 2, color: colour }, fillcolor: `${colour}26` };
    };
    const axes = {};
    const span = (place, n, gap) => [(place * (1 + gap)) / (n + gap * (n - 1)), (place * (1 + gap) + 1) / (n + gap * (n - 1))];
    for (let column = 0; column < columns; column += 1) {
      const below = Math.floor((panels.length - 1 - column) / columns);
      axes[`xaxis${suffix(column)}`] = Figure.axis("", { domain: span(column, columns, 0.08), anchor: `y${suffix(below)}`, range: [edges[0], edges.at(-1)], zeroline: false, nticks: 4, tickangle: 0 });
    }
    for (let row = 0; row < rows; row += 1) {
      axes[`yaxis${suffix(row)}`] = Figure.axis("", { domain: span(rows - 1 - row, rows, 0.38), anchor: "x", range: [0, 1.06 * highest], nticks: 4, tickformat: ".0%", zeroline: false });
    }
    const heading = (sample, place) => ({
      xref: `x${suffix(place % columns)} domain`, yref: `y${suffix(Math.floor(place / columns))} domain`, x: 0, y: 1, xanchor: "left", yanchor: "bottom", showarrow: false,
      text: `${label(sample.name, letters)} (${one.samples[sample.name].n})`, font: { size: 11.5 },
    });
    const below = { xref: "paper", yref: "paper", x: 0.5, y: 0, yshift: -46, yanchor: "middle", showarrow: false, text: axisTitle(one), font: { size: 12 } };
    return {
      traces: panels.flatMap((sample, place) => [...(train && sample !== train ? [trace(train, place, behind())] : []), trace(sample, place, front(sample))]),
      layout: { ...axes, annotations: [...panels.map(heading), below], showlegend: false, height: 90 + 150 * rows, margin: { l: 45, r: 12, t: 28, b: 62 } },
    };
  }

  function curve(one, rows) {
    const there = rows.filter(({ run }) => run.curves[one.name]);
    if (!there.length) return [];
    const binsOf = (run) => run.curves[one.name].map(([low, high, value, from, to, n]) => ({ middle: (low + high) / 2, value, low: from, high: to, n }));
    const range = [0, 1600 * Math.max(...there.flatMap(({ run }) => binsOf(run).map((bin) => bin.value))) || 1];
    const trace = ({ row, run }, place) => {
      const bins = binsOf(run);
      const [middles, colour] = [bins.map((bin) => bin.middle), Figure.colour(place)];
      return [{
        type: "scatter", mode: "lines+markers", name: label(row.mode), legendgroup: row.mode, x: middles, y: bins.map((bin) => 1000 * bin.value),
        error_y: { ...Scale.bars(bins, range, 1000), color: colour }, line: { color: colour, width: 1.6 },
        marker: { symbol: Figure.symbol(place), size: 7 }, text: bins.map((bin) => `${bin.n} structures`), hovertemplate: "%{x:.3g}: %{y:.3g} meV/Å, %{text}<extra>%{fullData.name}</extra>",
      }, ...Scale.arrows(bins, middles, range, { factor: 1000, colour, group: row.mode })];
    };
    return [Figure.make({
      title: `Error against ${Text.plain(one.label, 60)}`, words: "Mean force MAE of structures of like distance, all test splits together; an arrow: the interval goes on.", height: 300, shape: "wide",
      data: () => ({ traces: there.flatMap(trace), layout: { showlegend: there.length > 1, xaxis: Figure.axis(axisTitle(one), { zeroline: false }), yaxis: Figure.axis("force MAE (meV/Å)", { range, tickformat: ",~r" }) } }),
      csv: () => [["mode", "from", "to", "force_mae_eV_per_A", "low", "high", "structures"], ...there.flatMap(({ row, run }) => run.curves[one.name].map((bin) => [row.mode, ...bin]))],
    })];
  }

  function interval(one) {
    if (!one) return Text.DASH;
    return element("span", { class: "inline" }, `${number(one[0])} `, element("span", { class: "range" }, one[1] === null ? "no interval" : `${number(one[1])} to ${number(one[2])}`));
  }

  function ranking(model, rows) {
    const found = rows.find(({ row }) => row.mode === "baseline") || rows[0];
    if (!found || !found.run.ranking.length) return [];
    const known = new Map(model.diagnostics.map((one) => [one.name, one.label]));
    const lines = found.run.ranking.map((one) => [known.get(one.name) || one.name, one.use, String(one.n), interval(one.spearman), interval(one.worst), interval(one.beyond)]);
    const save = element("button", { type: "button", class: "csv", onclick: () => Figure.save("alarm ranking", [["distance", "use", "n", "spearman", "auroc_worst_tenth", "auroc_beyond_id"], ...found.run.ranking.map((one) => [one.name, one.use, one.n, one.spearman && one.spearman[0], one.worst && one.worst[0], one.beyond && one.beyond[0]])]) }, "CSV");
    return [
      element("h3", {}, `Which distance warns of error (${Text.plain(found.row.label, 50)}, ${Text.plain(found.row.mode, 30)}) `, save),
      element("p", { class: "what" }, "ρ: rank correlation with each structure's error. AUROC: how well it tells the worst tenth, and errors beyond the ID splits' 95th percentile, from the rest; 0.5 is chance. “Explains” needs reference labels and cannot warn where there are none."),
      table("Alarm ranking", ["distance", "use", "n", "ρ with error", "AUROC, worst tenth", "AUROC, beyond ID"], lines, [2]),
    ];
  }

  function labels(model) {
    const kinds = Object.keys(model.rules);
    if (!kinds.length) return [];
    const rows = model.samples.slice(1).map((sample) => [sample.name, String(sample.n), ...kinds.map((kind) => String(sample.labels[kind] ?? Text.DASH)), sample.reason ? sample.reason : String(sample.unshifted)]);
    const rules = kinds.map((kind) => element("li", {}, `${kind.replace("_", " ")}: ${Text.plain(model.rules[kind], 300)}`));
    return [element("h3", {}, "How many structures carry which shift"), table("Shift labels", ["split", "of", ...kinds.map((kind) => kind.replace("_", " ")), "none"], rows, [1, ...kinds.map((_, i) => i + 2), kinds.length + 2]), element("details", {}, element("summary", {}, "The rules behind these labels"), element("ul", {}, ...rules))];
  }

  return { show };
})();
