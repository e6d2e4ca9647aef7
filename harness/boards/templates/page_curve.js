// ---- scores over how much is missing ----
// A family is protocols that differ in a number only: random-0.1, random-0.2, ...
const FAMILY = /^(.*?)-([0-9.]+)@/;
const axisOf = (family, realised) => (family === "noise" ? "noise, standard deviations of the feature"
  : family === "noise-snr" ? "signal to noise, dB" : realised ? "realised missing rate" : "nominal missing rate");
// Frames that are missing inside a modality leave its rate as it is: such families go by their number.
const families = (points) => {
  const found = new Map();
  for (const point of points) {
    const [, name, at] = point.name.match(FAMILY) || [];
    if (!name || !known(point.value[0])) continue;
    if (!found.has(name)) found.set(name, { line: [] });
    found.get(name).line.push({ ...point, at: Number(at) });
  }
  const complete = points.find((point) => point.name === COMPLETE);
  for (const [name, family] of found) {
    const { line } = family;
    if (line.length < 3) {
      found.delete(name);
      continue;
    }
    const realised = !name.startsWith("noise") && new Set(line.map((point) => point.rate)).size === line.length;
    if (realised) for (const point of line) point.at = point.rate / data.scale;
    if (complete && name !== "noise-snr") line.push({ ...complete, at: realised ? complete.rate / data.scale : 0 });
    line.sort((one, other) => one.at - other.at);
    family.axis = axisOf(name, realised);
  }
  return found;
};

// `lines` holds what is drawn: {points: [[x, y]], kind: "other" | "curve" | "top"}; y in ten-thousandths.
const chart = (lines, label, axis) => {
  const [width, height, left, right, bottom, top] = [480, 270, 48, 16, 42, 12];
  const xs = lines.flatMap(({ points }) => points.map(([x]) => x));
  const ys = lines.flatMap(({ points }) => points.map(([, y]) => y / data.scale));
  const [least, most] = [Math.min(...xs), Math.max(...xs)];
  const highest = Math.ceil(Math.max(...ys, 0.05) * 10) / 10;
  const x = (value) => left + ((value - least) / (most - least || 1)) * (width - left - right);
  const y = (value) => height - bottom - (value / highest) * (height - bottom - top);
  const path = (points) => points.map(([at, value], i) =>
    `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(value / data.scale).toFixed(1)}`).join("");
  const step = (range) => [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5].find((size) => range / size <= 8) || range / 5;
  const ticks = (from, to) => {
    const size = step(to - from);
    const first = Math.ceil(from / size - 1e-9);
    return Array.from({ length: Math.floor(to / size + 1e-9) - first + 1 }, (_, i) => (first + i) * size);
  };
  const digits = (range) => (step(range) >= 1 ? 0 : step(range) >= 0.1 ? 1 : 2);
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    ...ticks(0, highest).flatMap((t) => [svg("path", { class: "grid", d: `M${left} ${y(t)}H${width - right}` }),
      svg("text", { x: left - 6, y: y(t) + 4, "text-anchor": "end" }, t.toFixed(digits(highest)))]),
    ...ticks(least, most).map((t) => svg("text", { x: x(t), y: height - bottom + 16, "text-anchor": "middle" },
      t.toFixed(digits(most - least)))),
    svg("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }),
    svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, axis),
    ...lines.map(({ points, kind }) => svg("path", { class: kind, d: path(points) })),
    ...lines.filter(({ kind }) => kind === "curve").flatMap(({ points }) =>
      points.map(([at, value]) => svg("circle", { class: "dot", r: 3.5, cx: x(at).toFixed(1), cy: y(value / data.scale).toFixed(1) }))));
};
const legend = (...entries) => el("p", { class: "key" }, ...entries.filter(Boolean).map(([kind, text]) =>
  el("span", {}, svg("svg", { width: 28, height: 10, "aria-hidden": "true" }, svg("path", { class: kind, d: "M0 5H28" })), text)));

// Every protocol's figure of a row, with the ceiling's beside it where the data has one.
const acrossProtocols = (tables, entry, metric) => tables
  .filter((t) => t.metrics.includes(metric))
  .map((t) => {
    const mine = sameModel(t, entry);
    const top = ceilingOf(t);
    return mine && known(figure(t, mine, metric)[0])
      ? { name: t.dropout, rate: t.rate, value: figure(t, mine, metric), top: top ? figure(t, top, metric)[0] : null }
      : null;
  })
  .filter(Boolean);
const lineOf = (points) => points.map((p) => [p.at, p.value[0]]);
const topOf = (points) => points.filter((p) => known(p.top)).map((p) => [p.at, p.top]);

const curvesOf = (points, name, metric) => [...families(points)].map(([family, { line, axis }]) => {
  const top = topOf(line);
  const label = `${headOf(metric)} of ${name}, ${family}: ${axis}; the figures stand in the table beside it`;
  return el("div", {}, el("h3", {}, `Robustness curve: ${family}`),
    chart([...(top.length > 1 ? [{ points: top, kind: "top" }] : []), { points: lineOf(line), kind: "curve" }], label, axis),
    legend(["curve", name], top.length > 1 && ["top", "ceiling"]));
});
