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
    const state = { model: 0, diagnostic: 0 };
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

  function histogram(model, one) {
    const edges = edgesOf(one);
    const samples = model.samples.filter((sample) => one.samples[sample.name] && one.samples[sample.name].n);
    const trace = (sample, place) => {
      const { counts, n } = one.samples[sample.name];
      const shares = counts.map((count) => count / n);
      return {
        type: "scatter", mode: "lines", name: `${label(sample.name)} (${n})`, x: edges, y: [...shares, shares[shares.length - 1]],
        line: { shape: "hv", width: place ? 1.8 : 0, color: place ? Figure.colour(place - 1) : Figure.variable("--rule"), dash: Figure.dash(place ? Math.floor((place - 1) / 3) : 0) },
        fill: place ? "none" : "tozeroy", fillcolor: Figure.variable("--rule"), hovertemplate: "%{x:.3g}: %{y:.1%}<extra>%{fullData.name}</extra>",
      };
    };
    return Figure.make({
      title: `Histogram of ${Text.plain(one.label, 60)}`, words: "Share of structures in shared bins; grey: training. The outer bins hold everything beyond.",
      height: 380,
      data: () => ({ traces: samples.map(trace), layout: { xaxis: Figure.axis(axisTitle(one), { zeroline: false }), yaxis: Figure.axis("share of structures", { rangemode: "tozero", tickformat: ".0%" }) } }),
      csv: () => [["sample", "from", "to", "structures", "of"], ...samples.flatMap((sample) => one.samples[sample.name].counts.map((count, i) => [sample.name, one.edges[i], one.edges[i + 1], count, one.samples[sample.name].n]))],
    });
  }

  function curve(one, rows) {
    const there = rows.filter(({ run }) => run.curves[one.name]);
    if (!there.length) return [];
    const trace = ({ row, run }, place) => {
      const bins = run.curves[one.name].map(([low, high, value, from, to, n]) => ({ middle: (low + high) / 2, value, low: from, high: to, n }));
      return {
        type: "scatter", mode: "lines+markers", name: label(row.mode), x: bins.map((bin) => bin.middle), y: bins.map((bin) => 1000 * bin.value),
        error_y: { ...Modes.ends(bins, 1000), color: Figure.colour(place) }, line: { color: Figure.colour(place), width: 1.6 },
        marker: { symbol: Figure.symbol(place), size: 7 }, text: bins.map((bin) => `${bin.n} structures`), hovertemplate: "%{x:.3g}: %{y:.3g} meV/Å, %{text}<extra>%{fullData.name}</extra>",
      };
    };
    const top = Math.max(...there.flatMap(({ run }) => run.curves[one.name].map((bin) => 1000 * bin[2])));
    return [Figure.make({
      title: `Error against ${Text.plain(one.label, 60)}`, words: "Mean force MAE of structures of like distance, all test splits together.", height: 380,
      data: () => ({ traces: there.map(trace), layout: { xaxis: Figure.axis(axisTitle(one), { zeroline: false }), yaxis: Figure.axis("force MAE (meV/Å)", { range: [0, 1.6 * top || 1] }) } }),
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
