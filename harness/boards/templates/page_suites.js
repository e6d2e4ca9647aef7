// ---- all models under a suite of dropout protocols, and by slice ----
const keep = (id, act) => {
  const focused = document.activeElement?.id;
  act();
  if (focused && byId(id).querySelector(`#${CSS.escape(focused)}`)) byId(focused).focus();
};

// Rows of several protocols of training in one table, each run once.
const mergedUnder = (like, training, dropout) => {
  const found = training.map((train) => tableUnder({ ...like, train }, dropout)).filter(Boolean);
  return found.length ? { ...found[0], rows: found.flatMap((t) => t.rows) } : null;
};

const toldOf = (suite, entry) => `${nameOf(entry)}${suite.told[suite.rows.findIndex((place) => state.board.about[place] === entry)]}`;

const suiteTable = (suite, tables, entries, metric) => {
  const ranks = new Map(suite.rows.map((place, i) => [state.board.about[place], suite.ranks[i]]));
  const named = (entry) => toldOf(suite, entry);
  const ranked = metric === state.board.tested && suite.ranks.some(Boolean);
  const rated = tables.some((t) => t.rate > 0);
  const rates = tables.map((t) => (rated && known(t.rate) ? ` (${number(t.rate, 2)})` : ""));
  const lines = entries.map((entry) => [named(entry), String(entry.seeds.length), ...tables.map((t) => {
    const row = sameModel(t, entry);
    return row ? meanStd(figure(t, row, metric)) : NONE;
  })]);
  const shares = tables.some((t) => t.shares) && entries.filter((entry) => !REFERENCE.has(entry.role)).map((entry) =>
    [named(entry), String(entry.seeds.length),
      ...tables.map((t) => percent(shareOf(t, sameModel(t, entry), metric)))]);
  const heads = ["model", "n", ...tables.map((t, i) => `${t.dropout.replace("@1", "")}${rates[i]}`)];
  const kind = { class: classOf(tables[0]) };
  const caption = `${headOf(metric)} under ${suite.suite}, ${suite.train}${rated ? "; in brackets the realised missing rate of whole modalities" : ""}. One trained checkpoint a seed, the same masks for every model.${suite.told.some((text) => text.includes("\u2020")) ? " \u2020 Made for missing modalities." : ""}`;
  const totals = suite.aggregates[metric];
  const key = (view) => ({ view, ...boardKey(), trained_under: suite.train, scored_under: suite.suite, metric });
  return [
    scroll(`${headOf(metric)} under ${suite.suite}`, makeSortable(plainTable(caption, heads, lines, { ...kind, id: "suite" })), key("robustness")),
    totals && scroll(`Aggregates of ${suite.suite}`, makeSortable(plainTable(
      `Aggregates of ${suite.suite}: ${headOf(metric)}, per seed, then mean ± sample standard deviation${ranked ? `; rank letters by ${namedAggregate(suite.rankedBy, suite)}` : ""}`,
      ["model", "n", ...(ranked ? ["rank"] : []), ...totals.names.map((name) => namedAggregate(name, suite))],
      totals.rows.filter(([place]) => entries.includes(state.board.about[place])).map(([place, n, ...values]) =>
        [named(state.board.about[place]), String(n), ...(ranked ? [ranks.get(state.board.about[place]) || NONE] : []), ...totals.names.map((_, i) => meanStd([values[2 * i], values[2 * i + 1]]))]),
      { ...kind, id: "aggregates" })), key("aggregates")),
    shares && shares.length > 0 && scroll("Normalised share", makeSortable(plainTable(
      `${headOf(metric)} between the best constant and the ceiling under the same protocol`, heads, shares, kind)), key("shares")),
  ];
};

const suiteChart = (suite, tables, entries, metric) => {
  const all = entries.map((entry) => [entry, families(acrossProtocols(tables, entry, metric))]);
  const names = [...new Set(all.flatMap(([, found]) => [...found.keys()]))];
  const models = entries.filter((entry) => entry.role !== "ceiling");
  if (!names.length || !models.length) return [];
  const chosen = models.find((entry) => toldOf(suite, entry) === state.drawn) || models[0];
  return names.map((family) => {
    const { line: own, axis } = all.find(([entry]) => entry === chosen)[1].get(family) || {};
    if (!own) return null;
    const others = all.filter(([entry, found]) => entry !== chosen && entry.role !== "ceiling" && found.has(family));
    const top = topOf(own);
    return el("div", {}, el("h3", {}, `${headOf(metric)} over ${family}`),
      chart([...others.map(([, found]) => ({ points: lineOf(found.get(family).line), kind: "other" })),
        ...(top.length > 1 ? [{ points: top, kind: "top" }] : []), { points: lineOf(own), kind: "curve" }],
      `${headOf(metric)} of ${toldOf(suite, chosen)} over ${family}, with ${others.length} other rows; the figures stand in the table above`,
      axis),
      legend(["curve", toldOf(suite, chosen)], others.length > 0 && ["other", "other rows"], top.length > 1 && ["top", "ceiling"]));
  }).filter(Boolean);
};

const drawSuites = () => keep("suites", () => {
  const { table, board } = state;
  const usable = table && !table.external ? board.suites.filter((s) => s.hash === table.hash && s.mask === table.mask) : [];
  byId("suites").hidden = !usable.length;
  if (!usable.length) return byId("suites-body").replaceChildren();
  const mine = usable.filter((s) => s.suite === state.suite);
  const some = mine.length ? mine : usable.filter((s) => s.suite === usable[0].suite);
  const suite = some.find((s) => s.train === state.track) || some.find((s) => s.training.includes(table.train)) || some[0];
  const tables = suite.protocols.map((name) => mergedUnder(table, suite.training, name)).filter(Boolean);
  const choices = (found, key) => [...new Set(found.map((s) => s[key]))].map((value) => ({ value, text: value, group: "" }));
  const metric = tables.every((t) => t.metrics.includes(state.metric)) ? state.metric : board.tested;
  const entries = suite.rows.map((place) => board.about[place]).filter(visible);
  const drawable = entries.filter((entry) => entry.role !== "ceiling");
  const charts = suiteChart(suite, tables, entries, metric);
  byId("suites-body").replaceChildren(...[
    el("div", { class: "controls" },
      field("suite-choice", "Suite", choices(usable, "suite"), suite.suite, (value) => { state.suite = value; drawSuites(); }),
      field("track-choice", "Track", choices(some, "train"), suite.train, (value) => { state.track = value; drawSuites(); }),
      charts.length ? field("suite-model", "Curve of", drawable.map((entry) => ({ value: toldOf(suite, entry), text: toldOf(suite, entry), group: "" })),
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
    plainTable(caption, heads, lines, { class: classOf(table), id: "by-slice" })), { view: "slices", ...boardKey(), metric: shown }));
};
