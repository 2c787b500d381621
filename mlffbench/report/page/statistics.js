// Statistics: Student's t for any degrees of freedom, as scipy's stdtr and stdtrit.
const Statistics = (() => {
  const GAMMA = [
    676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];

  // Lanczos' approximation, good to 15 digits for x above 0.
  function logGamma(x) {
    if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * x))) - logGamma(1 - x);
    const y = x - 1;
    const sum = GAMMA.reduce((total, c, i) => total + c / (y + i + 1), 0.99999999999980993);
    const t = y + 7.5;
    return 0.5 * Math.log(2 * Math.PI) + (y + 0.5) * Math.log(t) - t + Math.log(sum);
  }

  // The regularised incomplete beta function by Lentz' continued fraction.
  function beta(a, b, x) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - beta(b, a, 1 - x);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b)
      + a * Math.log(x) + b * Math.log1p(-x)) / a;
    const safe = (value) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
    let c = 1;
    let d = 1 / safe(1 - (a + b) * x / (a + 1));
    let found = d;
    for (let m = 1; m < 2000; m += 1) {
      const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / safe(1 + even * d);
      c = safe(1 + even / c);
      found *= d * c;
      const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / safe(1 + odd * d);
      c = safe(1 + odd / c);
      found *= d * c;
      if (Math.abs(d * c - 1) < 1e-15) break;
    }
    return front * found;
  }

  // Two-sided p value of t.
  function twoSided(t, freedom) {
    if (!Number.isFinite(t)) return 0;
    return beta(freedom / 2, 0.5, freedom / (freedom + t * t));
  }

  const kept = new Map();

  // The t whose two-sided p value is 0.05.
  function quantile(freedom) {
    if (kept.has(freedom)) return kept.get(freedom);
    let [low, high] = [1.9, 2];
    while (twoSided(high, freedom) > 0.05) { low = high; high *= 2; }
    for (let i = 0; i < 200 && high - low > 1e-13 * high; i += 1) {
      const middle = (low + high) / 2;
      if (twoSided(middle, freedom) > 0.05) low = middle; else high = middle;
    }
    if (kept.size > 5000) kept.clear();
    kept.set(freedom, (low + high) / 2);
    return (low + high) / 2;
  }

  // Holm's adjusted p values; null stays null.
  function holm(pValues) {
    const order = pValues.map((p, i) => i).filter((i) => pValues[i] !== null)
      .sort((i, j) => pValues[i] - pValues[j]);
    const found = pValues.map(() => null);
    let most = 0;
    order.forEach((place, rank) => {
      most = Math.max(most, Math.min(1, (order.length - rank) * pValues[place]));
      found[place] = most;
    });
    return found;
  }

  return { twoSided, quantile, holm };
})();
