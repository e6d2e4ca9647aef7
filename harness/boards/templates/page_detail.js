// ---- an opened row ----
const suiteOf = (table, test) => state.board.suites.find((suite) => suite.hash === table.hash
  && suite.mask === table.mask && suite.training.includes(table.train) && test(suite));
const namedAggregate = (name, suite) => {
  const patterns = suite.protocols.filter((protocol) => /^(only|drop)-/.test(protocol)).length;
  return { avg_incomplete: `avg${patterns}`, avg_patterns: `avg${patterns + 1}`, nauilc: "nAUILC" }[name] || name.replaceAll("_", " ");
};

const robustness = (table, row) => {
  const metric = state.metric;
  const tables = state.board.tables.filter((t) => !t.external && t.hash === table.hash && t.mask === table.mask
    && t.train === table.train && t.split === table.split);
  const points = table.external ? [] : acrossProtocols(tables, about(row), metric);
  if (points.length < 2) return [];
  points.sort((a, b) => (b.name === COMPLETE) - (a.name === COMPLETE) || a.name.localeCompare(b.name, "en"));
  const suite = suiteOf(table, (s) => s.aggregates[metric]);
  const totals = suite?.aggregates[metric];
  const mine = totals?.rows.find(([place]) => sharesRun(state.board.about[place], about(row)));
  return [
    ...curvesOf(points, fullName(row), metric),
    el("div", {}, plainTable(`${headOf(metric)} under every protocol`,
      ["scored under", "missing rate", headOf(metric), ...(points.some((p) => known(p.top)) ? ["ceiling"] : [])],
      points.map((p) => [p.name, number(p.rate, 3), meanStd(p.value), ...(points.some((q) => known(q.top)) ? [number(p.top)] : [])]))),
    mine && el("div", {}, plainTable(`Aggregates of ${suite.suite}: ${headOf(metric)}`, ["aggregate", "mean ± std"],
      totals.names.map((name, i) => [namedAggregate(name, suite), meanStd([mine[2 + 2 * i], mine[3 + 2 * i]])]))),
  ];
};
const sharesRun = (one, other) => one.role === other.role && one.runs.some((run) => other.runs.includes(run));

const sliceFigure = (table, row, slice, metric) => {
  const at = 2 * (slice * table.slices.metrics.length + table.slices.metrics.indexOf(metric));
  return [row.slices[at], row.slices[at + 1]];
};
const slicesOf = (table, row) => row.slices && el("div", {}, plainTable(`By slice of the ${table.split} split`,
  ["slice", "samples", ...table.slices.metrics.map(headOf)],
  table.slices.names.map((name, i) => [name, String(table.slices.samples[i]),
    ...table.slices.metrics.map((metric) => meanStd(sliceFigure(table, row, i, metric)))])));

const detail = (table, row, span, id) => {
  const mine = about(row);
  const tested = headOf(state.board.tested);
  const per = row.seeds || [];
  const seeds = plainTable(per.length ? "Seeds" : `Seeds (figures per seed stand under ${COMPLETE})`,
    ["seed", ...(per.length ? table.metrics.map(headOf) : []), "record"],
    mine.seeds.map((seed, i) => [String(seed), ...(per[i] || []).map((v) => number(v)), mine.runs[i]]));
  const facts = [
    [`${headOf(state.metric)}, mean ± std`, meanStd(figure(table, row, state.metric))],
    ...(row.over_seeds ? [[`${tested}, 95 % over seeds`, ends(row.over_seeds)]] : []),
    ...(row.over_samples ? [[`${tested}, 95 % over samples`, `${ends(row.over_samples)} (${row.clusters} groups)`]] : []),
    ["setting", settingOf(mine)],
    ["parameters", mine.parameters.toLocaleString("en")],
    ...["seconds", "cpu_s", "steps", "trials", "peak_memory"].filter((name) => known(mine[name]))
      .map((name) => [{ peak_memory: "peak memory, MB", cpu_s: "CPU seconds" }[name] || name, (name === "peak_memory" ? Math.round(mine[name] / 1e6) : mine[name]).toLocaleString("en")]),
    ["version", mine.version],
    ...(known(mine.tested) ? [["other settings scored on test before", String(mine.tested)]] : []),
  ];
  const labels = row.labels?.length
    && el("div", {}, plainTable("Per label, mean over seeds", ["label", "support", "P", "R", "F1", "AP"],
      row.labels.map(([name, support, ...rest]) => [name, String(support ?? NONE), ...rest.map((v) => number(v))])));
  return el("tr", { class: "detail", id }, el("td", { colspan: span }, el("div", { class: "detail-body" },
    el("div", { class: "wide" }, seeds),
    el("div", {}, plainTable("Figures and intervals", ["of", "value"], facts)),
    labels,
    slicesOf(table, row),
    ...robustness(table, row),
    mine.commands.length > 0
      && el("div", { class: "wide" }, el("h3", {}, "To reproduce"), el("pre", { tabindex: "0" }, mine.commands.join("\n"))))));
};
