// Errors: one run, from its parity plot down to its worst structures.
const Errors = (() => {
  const { element, number, label, name } = Text;

  function show(board) {
    const first = Math.max(0, board.rows.findIndex((row) => row.kind === "model"));
    const state = { row: first, split: 0 };
    const draw = () => {
      const row = board.rows[state.row];
      const splits = board.splits.filter((split) => row.parity[split.name]);
      const figures = document.getElementById("errors-figures");
      document.getElementById("errors-controls").replaceChildren(
        select("Run", board.rows.map((one) => `${one.label}, ${one.mode}`), state.row, (place) => { state.row = place; draw(); }),
        ...(splits.length ? [select("Split", splits.map((split) => split.name), Math.min(state.split, splits.length - 1), (place) => { state.split = place; draw(); })] : []),
      );
      if (!splits.length) {
        figures.replaceChildren(element("p", { class: "what" }, "This run evaluated nothing."));
        document.getElementById("errors-worst").replaceChildren();
        return;
      }
      const split = splits[Math.min(state.split, splits.length - 1)];
      figures.replaceChildren(parity(row, split), parts(board, row, "element", "Error by element", "element"), parts(board, row, "norm", "Error by reference force", "|F| of the atom (eV/Å)"));
      worst(board, state.row);
    };
    draw();
  }

  function select(title, options, chosen, onchange) {
    const made = Text.select(title, options, onchange);
    made.querySelector("select").value = String(chosen);
    return made;
  }

  function parity(row, split) {
    const { reach, bins } = row.parity[split.name];
    const N = 40;
    const width = (2 * reach) / N;
    const height = Math.min(640, Math.max(330, window.innerWidth - 30));
    const middle = Array.from({ length: N }, (_, i) => -reach + (i + 0.5) * width);
    const counts = Array.from({ length: N }, () => new Array(N).fill(null));
    let total = 0;
    for (let i = 0; i < bins.length; i += 2) {
      counts[bins[i] % N][Math.floor(bins[i] / N)] = bins[i + 1];
      total += bins[i + 1];
    }
    const ramp = () => (Figure.isDark() ? [[0, "#35617f"], [0.5, "#4f9fd0"], [1, "#e8f4fb"]] : [[0, "#9cc3dd"], [0.5, "#4d93c0"], [1, "#0b2f4d"]]);
    return Figure.make({
      title: `Parity of force components, ${Text.plain(split.name, 40)}`, words: `${total.toLocaleString("en")} components; colour: how many, logarithmic. The outer bins hold everything beyond.`, height, shape: "tall",
      data: () => ({
        traces: [
          { type: "heatmap", x: middle, y: middle, z: counts.map((line) => line.map((n) => (n ? Math.log10(n) : null))), customdata: counts, colorscale: ramp(), showscale: false, hovertemplate: "reference %{x:.2f}, predicted %{y:.2f} eV/Å: %{customdata}<extra></extra>" },
          { type: "scatter", mode: "lines", x: [-reach, reach], y: [-reach, reach], line: { color: Figure.variable("--ink"), width: 1, dash: "dot" }, hoverinfo: "skip", showlegend: false },
        ],
        layout: { height, xaxis: Figure.axis("reference (eV/Å)", { zeroline: false, constrain: "domain" }), yaxis: Figure.axis("predicted (eV/Å)", { zeroline: false, scaleanchor: "x" }) },
      }),
      csv: () => [["reference_eV_per_A", "predicted_eV_per_A", "components"], ...bins.flatMap((bin, i) => (i % 2 ? [] : [[middle[Math.floor(bin / N)], middle[bin % N], bins[i + 1]]]))],
    });
  }

  function parts(board, row, kind, title, axis) {
    const splits = board.splits.filter((split) => Object.keys((row.breakdown[split.name] || {})[kind] || {}).length);
    const order = [...new Set(splits.flatMap((split) => Object.keys(row.breakdown[split.name][kind])))];
    if (kind === "norm") order.sort((a, b) => parseFloat(a) - parseFloat(b));
    const numbers = splits.flatMap((split) => Object.values(row.breakdown[split.name][kind]).map(([value, low, high]) => ({ value, low, high })));
    const range = Scale.logRange(numbers, 1000);
    const trace = (split, place) => {
      const there = order.filter((part) => row.breakdown[split.name][kind][part]);
      const found = there.map((part) => {
        const [value, low, high, n] = row.breakdown[split.name][kind][part];
        return { value, low, high, n };
      });
      const places = there.map((part) => order.indexOf(part) + 0.7 * ((place + 0.5) / splits.length - 0.5));
      return [{
        type: "scatter", mode: "markers", name: label(split.name), legendgroup: split.name, x: places, y: found.map((one) => 1000 * one.value),
        error_y: { ...Scale.bars(found, range, 1000), color: Figure.colour(place), thickness: 1.2 }, marker: { color: Figure.colour(place), symbol: Figure.symbol(place), size: 7 },
        text: found.map((one, i) => `${label(there[i])}: ${number(1000 * one.value)} meV/Å, ${one.n} structures`), hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
      }, ...Scale.arrows(found, places, range, { factor: 1000, colour: Figure.colour(place), group: split.name })];
    };
    return Figure.make({
      title, height: 290, words: "Force MAE of the atoms, all splits, with 95 % intervals over molecules; an arrow: the interval goes on.",
      data: () => ({ traces: splits.flatMap(trace), layout: { xaxis: Figure.axis(axis, { tickvals: order.map((_, i) => i), ticktext: order.map((part) => label(part)), zeroline: false, showgrid: false }), yaxis: Scale.logAxis("force MAE (meV/Å, log scale)", range, 7) } }),
      csv: () => [["split", kind, "force_mae_eV_per_A", "low", "high", "structures"], ...splits.flatMap((split) => order.filter((part) => row.breakdown[split.name][kind][part]).map((part) => [split.name, part, ...row.breakdown[split.name][kind][part]]))],
    });
  }

  function worst(board, place) {
    const { structures, drawings, rows } = board.worst;
    const list = rows[place].map(([key, error]) => ({ ...structures[key], error }));
    const viewer = element("div", { class: "viewer" });
    const lines = list.map((one, i) => {
      const look = element("button", { type: "button", class: "plain", onclick: () => { choose(i); if (window.innerWidth < 700) viewer.scrollIntoView({ block: "nearest" }); } }, name(one.id, 200));
      return element("tr", {}, element("th", { scope: "row", class: "long" }, look), element("td", { class: "n" }, number(1000 * one.error)), element("td", {}, name(one.split, 40)), element("td", {}, Text.plain(one.formula, 60)), element("td", { class: "n" }, String(one.n_atoms)), element("td", { class: "long" }, name(one.molecule, 200)));
    });
    const choose = (i) => {
      lines.forEach((line, j) => (i === j ? line.setAttribute("aria-current", "true") : line.removeAttribute("aria-current")));
      Molecule.show(viewer, list[i], drawings[list[i].smiles]);
    };
    const head = ["structure", "force MAE", "split", "composition", "atoms", "molecule"].map((text, i) => element("th", { scope: "col", class: i === 1 || i === 4 ? "n" : null }, text, i === 1 ? element("small", {}, "meV/Å") : null));
    const save = element("button", { type: "button", class: "csv", onclick: () => Figure.save("worst structures", [["structure", "molecule", "split", "composition", "atoms", "force_mae_eV_per_A"], ...list.map((one) => [one.id, one.molecule, one.split, one.formula, one.n_atoms, one.error])]) }, "CSV");
    const scroll = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Worst structures" }, element("table", {}, Text.captioned("Worst structures"), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...lines)));
    document.getElementById("errors-worst").replaceChildren(element("h3", {}, `The ${list.length} structures it gets most wrong `, save), element("div", { class: "worst" }, scroll, viewer));
    if (list.length) choose(0);
  }

  return { show };
})();
