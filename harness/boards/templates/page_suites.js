// ---- all models under a suite of dropout protocols, and by slice ----
const keep = (id, act) => {
  const focused = document.activeElement?.id;
  act();
  if (focused && byId(id).querySelector(`#${CSS.escape(focused)}`)) byId(focused).focus();
};

const suiteTable = (suite, tables, entries, metric) => {
  const ceilings = tables.map(ceilingOf);
  const rated = tables.some((t) => t.rate > 0);
  const rates = tables.map((t) => (rated && known(t.rate) ? ` (${number(t.rate, 2)})` : ""));
  const lines = entries.map((entry) => [nameOf(entry), String(entry.seeds.length), ...tables.map((t) => {
    const row = sameModel(t, entry);
    return row ? meanStd(figure(t, row, metric)) : NONE;
  })]);
  const shares = ceilings.some(Boolean) && entries.filter((entry) => !REFERENCE.has(entry.role)).map((entry) =>
    [nameOf(entry), String(entry.seeds.length),
      ...tables.map((t, i) => percent(shareOf(t, sameModel(t, entry), ceilings[i], metric)))]);
  const heads = ["model", "n", ...tables.map((t, i) => `${t.dropout.replace("@1", "")}${rates[i]}`)];
  const kind = { class: classOf(tables[0]) };
  const caption = `${headOf(metric)} under ${suite.suite}, trained under ${suite.train}${rated ? "; in brackets the realised missing rate of whole modalities" : ""}. One trained checkpoint a seed, the same masks for every model.`;
  const totals = suite.aggregates[metric];
  return [
    scroll(`${headOf(metric)} under ${suite.suite}`, makeSortable(plainTable(caption, heads, lines, { ...kind, id: "suite" }))),
    totals && scroll(`Aggregates of ${suite.suite}`, makeSortable(plainTable(
      `Aggregates of ${suite.suite}: ${headOf(metric)}, per seed, then mean ± sample standard deviation`,
      ["model", "n", ...totals.names.map((name) => namedAggregate(name, suite))],
      totals.rows.filter(([place]) => entries.includes(state.board.about[place])).map(([place, n, ...values]) =>
        [nameOf(state.board.about[place]), String(n), ...totals.names.map((_, i) => meanStd([values[2 * i], values[2 * i + 1]]))]),
      { ...kind, id: "aggregates" }))),
    shares && shares.length > 0 && scroll("Normalised share", makeSortable(plainTable(
      `${headOf(metric)} between the best constant and the ceiling under the same protocol`, heads, shares, kind))),
  ];
};

const suiteChart = (suite, tables, entries, metric) => {
  const all = entries.map((entry) => [entry, families(acrossProtocols(tables, entry, metric))]);
  const names = [...new Set(all.flatMap(([, found]) => [...found.keys()]))];
  const models = entries.filter((entry) => entry.role !== "ceiling");
  if (!names.length || !models.length) return [];
  const chosen = models.find((entry) => nameOf(entry) === state.drawn) || models[0];
  return names.map((family) => {
    const { line: own, axis } = all.find(([entry]) => entry === chosen)[1].get(family) || {};
    if (!own) return null;
    const others = all.filter(([entry, found]) => entry !== chosen && entry.role !== "ceiling" && found.has(family));
    const top = topOf(own);
    return el("div", {}, el("h3", {}, `${headOf(metric)} over ${family}`),
      chart([...others.map(([, found]) => ({ points: lineOf(found.get(family).line), kind: "other" })),
        ...(top.length > 1 ? [{ points: top, kind: "top" }] : []), { points: lineOf(own), kind: "curve" }],
      `${headOf(metric)} of ${nameOf(chosen)} over ${family}, with ${others.length} other rows; the figures stand in the table above`,
      axis),
      legend(["curve", nameOf(chosen)], others.length > 0 && ["other", "other rows"], top.length > 1 && ["top", "ceiling"]));
  }).filter(Boolean);
};

const drawSuites = () => keep("suites", () => {
  const { table, board } = state;
  const usable = table && !table.external ? board.suites.filter((s) => s.hash === table.hash && s.mask === table.mask) : [];
  byId("suites").hidden = !usable.length;
  if (!usable.length) return byId("suites-body").replaceChildren();
  const named = (suite) => `${suite.suite}, trained under ${suite.train}`;
  const suite = usable.find((s) => named(s) === state.suite) || usable.find((s) => s.train === table.train) || usable[0];
  const like = { ...table, train: suite.train };
  const tables = suite.protocols.map((name) => tableUnder(like, name)).filter(Boolean);
  const metric = tables.every((t) => t.metrics.includes(state.metric)) ? state.metric : board.tested;
  const entries = suite.rows.map((place) => board.about[place]).filter(visible);
  const drawable = entries.filter((entry) => entry.role !== "ceiling");
  const charts = suiteChart(suite, tables, entries, metric);
  byId("suites-body").replaceChildren(...[
    el("div", { class: "controls" },
      field("suite-choice", "Suite", usable.map((s) => ({ value: named(s), text: named(s), group: "" })), named(suite),
        (value) => { state.suite = value; drawSuites(); }),
      charts.length ? field("suite-model", "Curve of", drawable.map((entry) => ({ value: nameOf(entry), text: nameOf(entry), group: "" })),
        state.drawn, (value) => { state.drawn = value; drawSuites(); }) : null),
    metric !== state.metric && el("p", { class: "quiet" },
      `${headOf(metric)}: the page holds no ${headOf(state.metric)} under every protocol of this suite.`),
    ...(entries.length ? suiteTable(suite, tables, entries, metric).filter(Boolean)
      : [el("p", {}, "No row fits the filter and what is shown.")]),
    el("div", { class: "charts" }, ...charts),
  ].filter(Boolean));
});

const drawSlices = () => {
  const { table, metric } = state;
  const rows = table?.slices ? table.rows.filter((row) => row.slices && visible(about(row))) : [];
  byId("slices").hidden = !rows.length;
  if (!rows.length) return byId("slices-body").replaceChildren();
  const shown = table.slices.metrics.includes(metric) ? metric : table.slices.metrics[0];
  const heads = ["model", "setting", "n", ...table.slices.names.map((name, i) => `${name} (${table.slices.samples[i]})`)];
  const lines = rows.map((row) => [about(row).label, settingOf(about(row)), String(about(row).seeds.length),
    ...table.slices.names.map((_, i) => meanStd(sliceFigure(table, row, i, shown)))]);
  const caption = `${headOf(shown)} by slice, scored under ${table.dropout}, ${trainedHow(table)}; in brackets how many samples a slice has. Averages are over all labels; a label that a slice does not have counts 0.`;
  byId("slices-body").replaceChildren(scroll("By slice", makeSortable(
    plainTable(caption, heads, lines, { class: classOf(table), id: "by-slice" }))));
};
