// Interval: the expanded percentile interval of mlffbench/metrics/interval.py.
const Interval = (() => {
  const NORMAL = { spread: 1.959964, level: 0.025 };
  let table = [];

  // [half-width in standard errors, level of the quantile] for 2, 3, … molecules.
  function setTable(rows) { table = rows; }

  // Beyond the table both approach their limits like 1/n.
  function expansion(n) {
    if (n - 2 < table.length) return { spread: table[n - 2][0], level: table[n - 2][1] };
    const last = table.length + 1;
    const part = last / n;
    const [spread, level] = table[table.length - 1];
    return {
      spread: NORMAL.spread + part * (spread - NORMAL.spread),
      level: NORMAL.level + part * (level - NORMAL.level),
    };
  }

  // Returns {low, high} of a number from its resampled values, null with one molecule.
  function find(value, resampled, nMolecules, lowest = -Infinity) {
    if (nMolecules < 2) return null;
    const there = Float64Array.from(resampled).filter(Number.isFinite).sort();
    if (there.length < 2) return null;
    const { spread, level } = expansion(nMolecules);
    const rarest = Math.max(1 / there.length, nMolecules ** -nMolecules);
    if (level < rarest) {
      const mean = there.reduce((sum, x) => sum + x, 0) / there.length;
      const squares = there.reduce((sum, x) => sum + (x - mean) ** 2, 0);
      const error = Math.sqrt(squares / (there.length - 1));
      return { low: Math.max(value - spread * error, lowest), high: value + spread * error };
    }
    return {
      low: Math.max(Statistics.quantile(there, level), lowest),
      high: Statistics.quantile(there, 1 - level),
    };
  }

  return { setTable, expansion, find };
})();
