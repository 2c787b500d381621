// Statistics: a bootstrap over molecules, as in mlffbench/metrics/bootstrap.py.
const Statistics = (() => {
  const N_RESAMPLES = 2000;
  const kept = new Map();

  // mulberry32: small, fast, and the same everywhere.
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  // How often each of n molecules occurs in each resample; the same n, the same draws,
  // so that what shares its molecules meets the same resamples.
  function counts(n, stream = 0) {
    const key = `${n}/${stream}`;
    if (!kept.has(key)) {
      const random = generator(1000003 * stream + n);
      const drawn = new Uint8Array(N_RESAMPLES * n);
      for (let row = 0; row < N_RESAMPLES; row += 1) {
        for (let i = 0; i < n; i += 1) drawn[row * n + Math.floor(random() * n)] += 1;
      }
      if (kept.size > 30) kept.clear();
      kept.set(key, drawn);
    }
    return kept.get(key);
  }

  // Σ sum / Σ weight in each resample; NaN where a resample holds no weight.
  function resample(sums, weights, drawn) {
    const n = sums.length;
    const found = new Float64Array(N_RESAMPLES);
    for (let row = 0; row < N_RESAMPLES; row += 1) {
      let top = 0;
      let bottom = 0;
      for (let i = 0, at = row * n; i < n; i += 1, at += 1) {
        const times = drawn[at];
        if (times) { top += times * sums[i]; bottom += times * weights[i]; }
      }
      found[row] = bottom > 0 ? top / bottom : NaN;
    }
    return found;
  }

  // Linear interpolation between order statistics, as numpy does it.
  function quantile(sorted, level) {
    const place = level * (sorted.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
  }

  return { N_RESAMPLES, counts, resample, quantile };
})();
