// Scale: logarithmic axes, and intervals that end where their axis does.
const Scale = (() => {
  const REACH = 10; // an interval may stretch an axis by this factor beyond the numbers
  const STEPS = [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]];
  const there = (x) => Number.isFinite(x);

  // The range of a logarithmic axis that holds every number; never down to 0.
  function logRange(found, factor = 1, also = []) {
    const values = [...found.map((one) => factor * one.value), ...also].filter((x) => x > 0);
    if (!values.length) return [0.1, 10];
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const ends = found.flatMap((one) => [one.low, one.high]).filter(there).map((x) => factor * x);
    const low = Math.max(Math.min(least, ...ends), least / REACH);
    const high = Math.min(Math.max(most, ...ends), most * REACH);
    const room = Math.max(1.12, (high / low) ** 0.05);
    return [low / room, high * room];
  }

  // Round numbers of an axis, no more than there is room for.
  function ticks([from, to], most) {
    const decades = Array.from({ length: Math.ceil(Math.log10(to)) - Math.floor(Math.log10(from)) + 1 }, (_, i) => 10 ** (Math.floor(Math.log10(from)) + i));
    const sets = STEPS.map((steps) => decades.flatMap((ten) => steps.map((step) => step * ten)).filter((x) => x >= from && x <= to));
    const fits = sets.find((set) => set.length <= most) || sets.at(-1);
    return fits.filter((_, i) => i % Math.ceil(fits.length / most) === 0);
  }

  function logAxis(title, range, most) {
    const values = ticks(range, most);
    return Figure.axis(title, {
      type: "log", range: range.map(Math.log10), zeroline: false,
      tickvals: values, ticktext: values.map((x) => Text.number(Number(x.toPrecision(3))).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")),
    });
  }

  // Error bars of plotly that stay within the range of their axis.
  function bars(found, [from, to], factor = 1) {
    const low = (one) => (there(one.high) ? Math.max(factor * (one.low ?? 0), from) : factor * one.value);
    const high = (one) => (there(one.high) ? Math.min(factor * one.high, to) : factor * one.value);
    return {
      type: "data", symmetric: false, thickness: 1.4, width: 0,
      array: found.map((one) => Math.max(0, high(one) - factor * one.value)),
      arrayminus: found.map((one) => Math.max(0, factor * one.value - low(one))),
    };
  }

  // A trace of arrows where an interval goes on beyond its axis; none where none does.
  function arrows(found, places, [from, to], { factor = 1, along = "y", colour, group }) {
    const [down, up] = along === "y" ? ["triangle-down", "triangle-up"] : ["triangle-left", "triangle-right"];
    const ends = found.flatMap((one, i) => (there(one.high) ? [
      ...(factor * (one.low ?? 0) < from ? [{ at: from, place: places[i], symbol: down }] : []),
      ...(factor * one.high > to ? [{ at: to, place: places[i], symbol: up }] : []),
    ] : []));
    if (!ends.length) return [];
    const [at, place] = [ends.map((end) => end.at), ends.map((end) => end.place)];
    return [{
      type: "scatter", mode: "markers", x: along === "y" ? place : at, y: along === "y" ? at : place,
      marker: { symbol: ends.map((end) => end.symbol), size: 8, color: colour }, cliponaxis: false,
      hoverinfo: "skip", showlegend: false, legendgroup: group,
    }];
  }

  return { logRange, ticks, logAxis, bars, arrows };
})();
