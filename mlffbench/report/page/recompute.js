// Recompute: a board's numbers for the structures that a filter keeps.
const Recompute = (() => {
  const UNITS = new Map(); // board -> decoded arrays

  function bytes(text) {
    const raw = atob(text);
    const found = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i += 1) found[i] = raw.charCodeAt(i);
    return found.buffer;
  }

  function decode(board) {
    if (UNITS.has(board)) return UNITS.get(board);
    const found = {};
    for (const [name, split] of Object.entries(board.cells.splits)) {
      found[name] = { sums: split.sums.map((text) => new Float32Array(bytes(text))) };
      for (const key of ["molecule", "elements", "pattern", "n", "weight"]) {
        found[name][key] = new Uint32Array(bytes(split[key]));
      }
    }
    UNITS.set(board, found);
    return found;
  }

  // Which cells of a split a filter keeps; filter: {elements: Set, rows: [row] or null}.
  function kept(board, cells, filter) {
    const sets = board.cells.element_sets.map((set) => set.every((e) => filter.elements.has(e)));
    const patterns = board.cells.patterns.map((lacking) =>
      !filter.rows || !lacking.some((row) => filter.rows.includes(row)));
    const found = [];
    for (let i = 0; i < cells.n.length; i += 1) {
      if (sets[cells.elements[i]] && patterns[cells.pattern[i]]) found.push(i);
    }
    return found;
  }

  // A row's totals by molecule over the cells that all the given rows evaluated.
  function totals(board, cells, chosen, row, others = []) {
    const lacks = board.cells.patterns.map((lacking) =>
      [row, ...others].some((one) => lacking.includes(one)));
    const at = new Map();
    const sums = [];
    const weights = [];
    let n = 0;
    for (const i of chosen) {
      if (lacks[cells.pattern[i]]) continue;
      const molecule = cells.molecule[i];
      if (!at.has(molecule)) { at.set(molecule, sums.length); sums.push(0); weights.push(0); }
      const place = at.get(molecule);
      sums[place] += cells.sums[row][i];
      weights[place] += cells.weight[i];
      n += cells.n[i];
    }
    const molecules = [...at.keys()];
    const order = molecules.map((_, i) => i).sort((a, b) => molecules[a] - molecules[b]);
    return {
      n,
      molecules: order.map((i) => molecules[i]),
      sums: Float64Array.from(order, (i) => sums[i]),
      weights: Float64Array.from(order, (i) => weights[i]),
    };
  }

  const add = (values) => values.reduce((sum, x) => sum + x, 0);
  const mean = (total) => add(total.sums) / add(total.weights);

  function draw(total, stream = 0) {
    return Statistics.resample(total.sums, total.weights, Statistics.counts(total.sums.length, stream));
  }

  function metric(value, resampled, n, nMolecules, smallest, lowest) {
    const ends = Interval.find(value, resampled, smallest, lowest) || { low: null, high: null };
    return { value, ...ends, n, n_molecules: nMolecules };
  }

  function ratio(a, b, drawnA, drawnB, n, nMolecules, smallest) {
    if (!(b > 0)) return null;
    const found = { value: a / b, low: null, high: null, n, n_molecules: nMolecules };
    const all = [...drawnA, ...drawnB].every((x) => !(x <= 0));
    if (smallest < 2 || !(a > 0) || !all) return found;
    const logs = drawnA.map((x, i) => Math.log(x) - Math.log(drawnB[i]));
    const ends = Interval.find(Math.log(a / b), logs, smallest);
    if (ends) { found.low = Math.exp(ends.low); found.high = Math.exp(ends.high); }
    return found;
  }

  function compare(a, b, drawnA, drawnB, n, nMolecules, smallest) {
    const difference = drawnA.map((x, i) => x - drawnB[i]);
    return {
      difference: metric(a - b, difference, n, nMolecules, smallest),
      ratio: ratio(a, b, drawnA, drawnB, n, nMolecules, smallest),
    };
  }

  // Two sides that share molecules are resampled together, others independently.
  function gap(ood, drawnOod, control) {
    const union = [...new Set([...ood.molecules, ...control.molecules])].sort((x, y) => x - y);
    const smallest = Math.min(ood.molecules.length, control.molecules.length);
    const n = ood.n + control.n;
    const values = [mean(ood), mean(control)];
    if (union.length === ood.molecules.length + control.molecules.length) {
      const drawn = draw(control, 1);
      return compare(...values, drawnOod, drawn, n, union.length, smallest);
    }
    const place = new Map(union.map((molecule, i) => [molecule, i]));
    const drawn = [ood, control].map((side) => {
      const sums = new Float64Array(union.length);
      const weights = new Float64Array(union.length);
      side.molecules.forEach((molecule, i) => {
        sums[place.get(molecule)] = side.sums[i];
        weights[place.get(molecule)] = side.weights[i];
      });
      return Statistics.resample(sums, weights, Statistics.counts(union.length));
    });
    const both = drawn[0].map((x, i) => Number.isFinite(x + drawn[1][i]));
    const [a, b] = drawn.map((side) => side.filter((_, i) => both[i]));
    return compare(...values, a, b, n, union.length, smallest);
  }

  function paired(board, cells, chosen, row, other) {
    const [a, b] = [totals(board, cells, chosen, row, [other]), totals(board, cells, chosen, other, [row])];
    if (!a.n) return null;
    return compare(mean(a), mean(b), draw(a), draw(b), a.n, a.molecules.length, a.molecules.length);
  }

  function verdict({ difference }) {
    if (difference.low === null) return "undecided";
    if (difference.low <= 0 && difference.high >= 0) return "no difference";
    return difference.high < 0 ? "better" : "worse";
  }

  function worst(board, total) {
    if (!board.cells.molecules.length) return {};
    let place = 0;
    for (let i = 1; i < total.sums.length; i += 1) {
      if (total.sums[i] / total.weights[i] > total.sums[place] / total.weights[place]) place = i;
    }
    return {
      worst_molecule: board.cells.molecules[total.molecules[place]],
      worst_error: total.sums[place] / total.weights[place],
    };
  }

  // The numbers of one split for every row; `before` holds what ID splits gave already.
  function split(board, name, filter, before) {
    const cells = decode(board)[name];
    const chosen = kept(board, cells, filter);
    const facts = board.splits.find((one) => one.name === name);
    const found = board.rows.map((row, place) => {
      const total = totals(board, cells, chosen, place);
      if (!total.n) return { cell: { evaluated: 0 }, total };
      const drawn = draw(total);
      const n = total.molecules.length;
      const cell = { evaluated: total.n, error: metric(mean(total), drawn, total.n, n, n, 0), ...worst(board, total) };
      const control = before[facts.control] && before[facts.control][place].total;
      if (facts.role.startsWith("ood") && control && control.n) {
        const against = gap(total, drawn, control);
        cell.gap = against.difference;
        cell.ratio = against.ratio;
      }
      if (row.baseline !== null) {
        const against = paired(board, cells, chosen, place, row.baseline);
        if (against) {
          cell.difference = against.difference;
          cell.to_baseline = against.ratio;
          cell.verdict = verdict(against);
        }
      }
      return { cell, total };
    });
    lead(board, cells, chosen, found);
    return { rows: found, n: chosen.reduce((sum, i) => sum + cells.n[i], 0) };
  }

  // Mark the least error, and every row that is not significantly worse.
  function lead(board, cells, chosen, found) {
    const most = Math.max(...found.map(({ total }) => total.n));
    if (!most) return;
    let best = -1;
    found.forEach(({ cell, total }, place) => {
      if (total.n === most && (best < 0 || cell.error.value < found[best].cell.error.value)) best = place;
    });
    found.forEach(({ cell, total }, place) => {
      if (!total.n) return;
      const against = place === best ? null : paired(board, cells, chosen, place, best);
      cell.leading = place === best || (against !== null && verdict(against) !== "worse");
    });
  }

  function largest(cells, key) {
    const there = Object.entries(cells).filter(([, cell]) => cell[key]);
    if (!there.length) return null;
    const [name, cell] = there.reduce((a, b) => (b[1][key].value > a[1][key].value ? b : a));
    return { split: name, ...cell[key] };
  }

  function worstOf(cells) {
    const there = Object.entries(cells).filter(([, cell]) => Number.isFinite(cell.worst_error));
    if (!there.length) return null;
    const [name, cell] = there.reduce((a, b) => (b[1].worst_error > a[1].worst_error ? b : a));
    return { split: name, value: cell.worst_error, molecule: cell.worst_molecule };
  }

  // Returns {rows, n}: rows as on the board, n the structures kept; `pause` between splits
  // lets the page answer, and throws where a newer filter has come.
  async function compute(board, filter, pause) {
    const done = {};
    let n = 0;
    for (const { name } of board.splits) {
      await pause();
      const made = split(board, name, filter, done);
      done[name] = made.rows;
      n += made.n;
    }
    const rows = board.rows.map((row, place) => {
      const cells = {};
      for (const { name } of board.splits) cells[name] = done[name][place].cell;
      return {
        ...row, cells, worst: worstOf(cells),
        largest_gap: largest(cells, "gap"), largest_ratio: largest(cells, "ratio"),
      };
    });
    return { rows, n };
  }

  return { compute };
})();
