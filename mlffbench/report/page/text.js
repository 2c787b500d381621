// Text: numbers and names as people read them, and elements made without markup.
const Text = (() => {
  const MINUS = "−";
  const DASH = "–";

  // Three significant digits, thousands separated: the same text as in every other table.
  function number(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
    if (value === 0) return "0";
    const digits = 2 - Math.floor(Math.log10(Math.abs(value)));
    if (digits > 5) return tiny(value).replaceAll("-", MINUS);
    const [whole, rest] = rounded(value, Math.max(digits, 0)).split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    return (rest === undefined ? grouped : `${grouped}.${rest}`).replace("-", MINUS);
  }

  // An exact half goes to the even digit, as in Python.
  function rounded(value, digits) {
    const exact = value.toFixed(digits + 40);
    const isHalf = /^50*$/.test(exact.slice(exact.indexOf(".") + 1 + digits));
    const isEven = /[02468]$/.test(exact.slice(0, exact.indexOf(".") + 1 + digits).replace(".", ""));
    if (!isHalf || !isEven) return value.toFixed(digits);
    return exact.slice(0, exact.indexOf(".") + (digits ? 1 + digits : 0));
  }

  // Below 0.001: an exponent of two digits where there are four zeros.
  function tiny(value) {
    if (Math.abs(value) >= 1e-4) return String(Number(value.toPrecision(3)));
    const [digits, exponent] = value.toExponential(2).split("e");
    return `${Number(digits)}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }

  function range(low, high, factor = 1) {
    if (low === null || high === null || low === undefined) return "no interval";
    const join = low < 0 ? " to " : DASH;
    return `${number(low * factor)}${join}${number(high * factor)}`;
  }

  // The interval of a number, or the range of its molecules where there is none.
  function interval(found, scale = 1) {
    const there = (x) => x !== null && x !== undefined;
    if (there(found.low) && there(found.high)) return range(found.low, found.high, scale);
    if (!there(found.lowest) || !there(found.highest)) return "no interval";
    return `molecules ${range(found.lowest, found.highest, scale)}`;
  }

  // Control and direction characters would change what stands beside them.
  function plain(name, longest = 120) {
    const text = String(name).replace(
      /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu,
      "\ufffd",
    );
    return text.length > longest ? `${text.slice(0, longest)}…` : text;
  }

  // Plotly reads a little markup in its labels.
  function label(name, longest = 34) {
    return plain(name, longest)
      .replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "＄");
  }

  // An element with attributes and children; strings become text, never markup.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  // A name that may go on in a new line after each of its underscores.
  const breakable = (text) => text.split("_").flatMap((part, i) => (i ? ["_", element("wbr"), part] : [part]));

  function name(text, longest) {
    return element("bdi", { title: plain(text, 400) }, ...breakable(plain(text, longest)));
  }

  function select(title, options, onchange) {
    const chosen = element("select", { onchange: () => onchange(Number(chosen.value)) });
    options.forEach((option, place) =>
      chosen.append(element("option", { value: place }, plain(option, 70))));
    return element("label", { class: "pick" }, `${title} `, chosen);
  }

  // The name of a table, for those who hear it.
  const captioned = (text) => element("caption", { class: "unseen" }, plain(text));

  function table(caption, columns, rows, numeric = []) {
    const side = (place) => (numeric.includes(place) ? "n" : null);
    const head = columns.map((text, place) =>
      element("th", { scope: "col", class: side(place) }, text));
    const body = rows.map((cells) => element("tr", {}, ...cells.map((cell, place) =>
      element(place ? "td" : "th", { class: side(place), scope: place ? null : "row" },
        typeof cell === "string" ? name(cell) : cell))));
    const made = element("table", {}, captioned(caption), element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...body));
    return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, made);
  }

  return { number, range, interval, plain, label, element, name, breakable, select, captioned, table, DASH };
})();
