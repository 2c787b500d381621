// Interval: mlffbench/metrics/spread.py and the judgement of estimates.py, in the same order.
// A total is {n, molecules, sums, weights}: structures, and Σ w·v and Σ w of each molecule.
const Interval = (() => {
  const FEWEST = 5;
  const SKEW = 0.75;
  const LEAST = 0.02;
  const N_ANGLES = 720;
  const HALF = 0.5;
  const APART = 2;
  const WIDEST = Math.log(1000);

  const add = (values) => values.reduce((sum, x) => sum + x, 0);
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const mean = (total) => add(total.sums) / add(total.weights);
  const reach = (spread) => Statistics.quantile(spread.freedom) * Math.sqrt(spread.variance);

  function side(total, log) {
    const sums = Array.from(total.sums);
    const weights = Array.from(total.weights);
    const n = sums.length;
    const [all, whole] = [add(sums), add(weights)];
    const middle = all / whole;
    const weight = weights.map((w) => w / whole);
    const effective = 1 / dot(weight, weight);
    const error = sums.map((s, i) => s / weights[i]);
    const left = log
      ? sums.map((s, i) => Math.log1p(-s / all) - Math.log1p(-weight[i]))
      : error.map((e, i) => weight[i] * (middle - e) / (1 - weight[i]));
    const found = {
      n, sums, mean: middle, weight, effective, left,
      jackknife: (n - 1) / n * dot(left, left), logs: error.map(() => 0), model: 0,
    };
    if (log) {
      const logs = error.map((e) => Math.log(Math.max(e, LEAST * middle)));
      const centre = dot(weight, logs);
      found.logs = logs.map((x) => x - centre);
      const few = effective / (effective - 1);
      const squared = add(found.logs.map((x, i) => weight[i] * x * x)) * few;
      found.model = (squared + SKEW * squared * squared * few) / effective;
    }
    return found;
  }

  function ofMean(total, log) {
    const one = side(total, log);
    return {
      centre: log ? Math.log(one.mean) : one.mean,
      variance: Math.max(one.model, one.jackknife),
      freedom: (one.n + one.effective) / 2 - 1,
    };
  }

  function ofPair(this_, other, log) {
    const [a, b] = [side(this_, log), side(other, log)];
    const moved = a.left.map((x, i) => x - b.left[i]);
    let variance = (a.n - 1) / a.n * dot(moved, moved);
    if (log) {
      const raw = a.logs.map((x, i) => x - b.logs[i]);
      const shift = dot(a.weight, raw);
      const few = a.effective / (a.effective - 1);
      const squared = add(raw.map((x, i) => a.weight[i] * (x - shift) ** 2)) * few;
      const [all, whole] = [add(a.sums), add(b.sums)];
      const shares = a.sums.map((x, i) => (x / all + b.sums[i] / whole) / 2);
      variance = Math.max(variance, (squared + squared * squared / 2 * few) * dot(shares, shares));
    }
    const centre = log ? Math.log(a.mean) - Math.log(b.mean) : a.mean - b.mean;
    return { centre, variance, freedom: a.n - 1 };
  }

  function ofGap(this_, other, log) {
    const [a, b] = [side(this_, log), side(other, log)];
    const parts = [a, b].map((one) => Math.max(one.model, one.jackknife));
    const freedoms = [a, b].map((one) => (one.n + one.effective) / 2 - 1);
    let variance = parts[0] + parts[1];
    const freedom = variance > 0
      ? variance ** 2 / (parts[0] ** 2 / freedoms[0] + parts[1] ** 2 / freedoms[1])
      : Math.min(...freedoms);
    const place = new Map(other.molecules.map((molecule, row) => [molecule, row]));
    const shared = this_.molecules
      .map((molecule, row) => [row, place.get(molecule)]).filter(([, row]) => row !== undefined);
    if (shared.length) {
      variance = Math.max(0, a.model + b.model - 2 * commonModel(a, b, shared),
        a.jackknife + b.jackknife - 2 * commonJackknife(a, b, shared));
    }
    const centre = log ? Math.log(a.mean) - Math.log(b.mean) : a.mean - b.mean;
    return { spread: { centre, variance, freedom }, nShared: shared.length };
  }

  function commonModel(a, b, shared) {
    if (shared.length < FEWEST) return 0;
    const product = shared.map(([i, j]) => a.weight[i] * b.weight[j]);
    const root = product.map(Math.sqrt);
    const few = Math.sqrt(a.effective * b.effective / ((a.effective - 1) * (b.effective - 1)));
    const logs = shared.map(([i, j]) => a.logs[i] * b.logs[j]);
    const covariance = Math.max(0, dot(root, logs) / add(root) * few);
    const found = add(product) * (covariance + SKEW * covariance ** 2 * few);
    return Math.min(found, Math.sqrt(a.model * b.model));
  }

  function commonJackknife(a, b, shared) {
    const scale = Math.sqrt((a.n - 1) / a.n * ((b.n - 1) / b.n));
    return scale * add(shared.map(([i, j]) => a.left[i] * b.left[j]));
  }

  // The ends of the difference: over the edge of the ellipse of both means.
  function differenceEnds(this_, other, compared, log) {
    const { variance } = compared;
    const middle = Math.max((this_.variance + other.variance) / 2 - variance / 4, 0);
    const scale = Math.sqrt(variance * middle);
    const common = (this_.variance - other.variance) / 2;
    const tilt = scale > 0 ? Math.min(1, Math.max(-1, common / scale)) : 0;
    const t = Statistics.quantile(compared.freedom);
    let [low, high] = [Infinity, -Infinity];
    for (let i = 0; i < N_ANGLES; i += 1) {
      const angle = 2 * Math.PI * i / N_ANGLES;
      const across = compared.centre + t * Math.sqrt(variance) * Math.cos(angle);
      const along = (this_.centre + other.centre) / 2
        + t * Math.sqrt(middle) * (tilt * Math.cos(angle) + Math.sqrt(1 - tilt ** 2) * Math.sin(angle));
      const found = log ? 2 * Math.exp(along) * Math.sinh(across / 2) : across;
      low = Math.min(low, found);
      high = Math.max(high, found);
    }
    return { low, high };
  }

  function range(values) {
    if (values.length < 2 || !values.every(Number.isFinite)) return {};
    return { lowest: Math.min(...values), highest: Math.max(...values) };
  }

  const none = { low: null, high: null };

  // A mean with its interval, or with the range of its molecules.
  function metric(total) {
    const value = mean(total);
    const made = { value, n: total.n, n_molecules: total.sums.length };
    if (total.sums.length >= FEWEST && value > 0) {
      const spread = ofMean(total, true);
      const half = reach(spread);
      if (half <= WIDEST) return { ...made, low: Math.exp(spread.centre - half), high: Math.exp(spread.centre + half) };
    }
    return { ...made, ...none, ...range(Array.from(total.sums, (s, i) => s / total.weights[i])) };
  }

  function heaviest(total) {
    const all = add(total.sums);
    let place = 0;
    total.sums.forEach((s, i) => { if (s > total.sums[place]) place = i; });
    return { share: total.sums[place] / all, molecule: total.molecules[place] };
  }

  function whyOpen(this_, other, low, high, name) {
    const [a, b] = [heaviest(this_), heaviest(other)];
    const one = b.share > a.share ? b : a;
    if (one.share > HALF) return `${name(one.molecule)} alone carries ${(100 * one.share).toFixed(0)} % of the error`;
    if (low < 1 / APART && high > APART) return `it may be ×${Number(low.toPrecision(2))} as well as ×${Number(high.toPrecision(2))}`;
    return "";
  }

  // Compare two totals: difference, ratio, verdict, reason and p value of one statistic.
  // `paired`: the same molecules on both sides; `name`: the name of a molecule.
  function compare(this_, other, paired, name) {
    const [a, b] = [mean(this_), mean(other)];
    const log = a > 0 && b > 0;
    const smallest = Math.min(this_.sums.length, other.sums.length);
    let spread = null;
    let nShared = paired ? this_.sums.length : 0;
    if (smallest >= FEWEST) {
      const made = paired ? { spread: ofPair(this_, other, log), nShared } : ofGap(this_, other, log);
      ({ spread, nShared } = made);
    } else if (!paired) {
      const there = new Set(other.molecules);
      nShared = this_.molecules.filter((molecule) => there.has(molecule)).length;
    }
    const basis = {
      n: paired ? this_.n : this_.n + other.n,
      n_molecules: this_.sums.length + other.sums.length - nShared,
    };
    const whole = { difference: { value: a - b, ...basis }, ratio: b > 0 ? { value: a / b, ...basis } : null };
    const singles = Array.from(this_.sums, (s, i) => s / this_.weights[i]);
    const theirs = singles.map((_, i) => (paired ? other.sums[i] / other.weights[i] : b));
    const half = spread ? reach(spread) : NaN;
    const each = [this_, other].map((total) => reach0(total, log, smallest));
    if (!spread || !(half < Infinity) || (log && half > WIDEST) || !each.every(Number.isFinite)) {
      Object.assign(whole.difference, none, range(singles.map((x, i) => x - theirs[i])));
      if (whole.ratio) Object.assign(whole.ratio, none, range(singles.map((x, i) => x / theirs[i])));
      const reason = smallest < FEWEST
        ? `${smallest} molecule${smallest === 1 ? "" : "s"}, fewer than ${FEWEST}`
        : "the interval is wider than a factor of 1,000";
      return { ...whole, verdict: "cannot be judged", reason, p_value: null };
    }
    const ends = differenceEnds(ofMean(this_, log), ofMean(other, log), spread, log);
    Object.assign(whole.difference, ends);
    const [low, high] = [spread.centre - half, spread.centre + half];
    if (whole.ratio && log) Object.assign(whole.ratio, { low: Math.exp(low), high: Math.exp(high) });
    else if (whole.ratio) Object.assign(whole.ratio, none, range(singles.map((x, i) => x / theirs[i])));
    const t = spread.centre === 0 ? 0 : Math.abs(spread.centre) / Math.sqrt(spread.variance);
    const pValue = Statistics.twoSided(t, spread.freedom);
    if (Math.abs(spread.centre) > half) {
      return { ...whole, verdict: spread.centre < 0 ? "better" : "worse", reason: "", p_value: pValue };
    }
    const reason = log ? whyOpen(this_, other, Math.exp(low), Math.exp(high), name) : "";
    return { ...whole, verdict: reason ? "cannot be judged" : "no difference", reason, p_value: pValue };
  }

  function reach0(total, log, smallest) {
    return smallest < FEWEST ? 0 : reach(ofMean(total, log));
  }

  return { mean, metric, compare };
})();
