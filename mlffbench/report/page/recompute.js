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

  const nameOf = (board) => (molecule) => board.cells.molecules[molecule] || "one molecule";

  function paired(board, cells, chosen, row, other) {
    const [a, b] = [totals(board, cells, chosen, row, [other]), totals(board, cells, chosen, other, [row])];
    return a.n ? Interval.compare(a, b, true, nameOf(board)) : null;
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
      const cell = { evaluated: total.n, error: Interval.metric(total), ...worst(board, total) };
      const control = before[facts.control] && before[facts.control][place].total;
      if (facts.role.startsWith("ood") && control && control.n) {
        const against = Interval.compare(total, control, false, nameOf(board));
        cell.gap = against.difference;
        cell.ratio = against.ratio;
        cell.gap_verdict = against.verdict;
      }
      if (row.baseline !== null) {
        const against = paired(board, cells, chosen, place, row.baseline);
        if (against) {
          cell.difference = against.difference;
          cell.to_baseline = against.ratio;
          cell.verdict = against.verdict;
          cell.reason = against.reason;
          cell.p_value = against.p_value;
        }
      }
      if (row.prior_row !== null) {
        const against = paired(board, cells, chosen, place, row.prior_row);
        if (against) { cell.to_prior = against.ratio; cell.prior_verdict = against.verdict; cell.prior_reason = against.reason; cell.prior_p_value = against.p_value; }
      }
      return { cell, total };
    });
    lead(board, cells, chosen, found);
    return { rows: found, n: chosen.reduce((sum, i) => sum + cells.n[i], 0) };
  }

  // Mark the least error, and every row that is not shown to be worse.
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
      cell.leading = place === best || (against !== null && against.verdict !== "worse");
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
    adjust(rows);
    return { rows, n };
  }

  // Holm's adjustment over all verdicts of the board, against baseline and prior alike.
  function adjust(rows) {
    const cells = rows.flatMap((row) => Object.values(row.cells));
    const held = cells.flatMap((cell) => [[cell, "p_value", "adjusted_p"], [cell, "prior_p_value", "prior_adjusted_p"]])
      .filter(([cell, from]) => cell[from] !== null && cell[from] !== undefined);
    const found = Statistics.holm(held.map(([cell, from]) => cell[from]));
    held.forEach(([cell, , to], i) => { cell[to] = found[i]; });
  }

  return { compute };
})();
