// ---- the measured table ----
// The best trivial predictor sees no input: how far a row stands above it.
const overConstant = (table, row) => {
  const [mine, low] = [row, constantOf(table)].map((one) => (one ? figure(table, one, state.board.tested)[0] : null));
  return known(mine) && known(low) && row !== constantOf(table) ? mine - low : null;
};
const alike = (table) => new Set(table.rows.map(about).filter((one) => one.role === "model").map((one) => one.setting)).size < 2;
const counted = (name) => ({ key: name, head: name, value: (row) => (REFERENCE.has(about(row).role) ? null : about(row)[name] || null),
  cell: (row) => (!REFERENCE.has(about(row).role) && about(row)[name] ? about(row)[name].toLocaleString("en") : NONE) });

// At most eight columns; everything else of a row opens with it.
const columns = (table) => {
  const { tested, main } = state.board;
  const interval = (name, row) => (name === tested && row.over_samples ? ` [${ends(row.over_samples).replace("..", ", ")}]` : "");
  const metric = (name) => ({ key: name, head: `${headOf(name)}${name === tested && some("over_samples") ? " [95 %]" : ""}`,
    chosen: name === state.metric, up: data.lower.includes(name),
    value: (row) => figure(table, row, name)[0], cell: (row) => `${meanStd(figure(table, row, name))}${interval(name, row)}` });
  const meanOnly = (name) => ({ ...metric(name), cell: (row) => (name === tested ? metric(name).cell(row) : number(figure(table, row, name)[0])) });
  const of = state.metric === tested ? "" : ` (${headOf(tested)})`;
  const some = (name) => table.rows.some((row) => known(row[name]));
  const found = [
    { key: "model", head: "model", value: (row) => about(row).label.toLowerCase(), up: true },
    metric(state.metric),
  ];
  if (some("rank")) {
    found.push({ key: "rank", head: `rank${of}`, up: true, value: (row) => row.rank || null, cell: (row) => row.rank || NONE });
  }
  if (table.shares) {
    const share = (row) => shareOf(table, row, tested);
    found.push({ key: "share", head: `share${of}`, value: share, cell: (row) => percent(share(row)) });
  } else if (constantOf(table)) {
    found.push({ key: "over", head: `over constant${of}`, value: (row) => overConstant(table, row),
      cell: (row) => (known(overConstant(table, row)) ? signed(overConstant(table, row)) : NONE) });
  }
  const beside = [tested, ...main].filter((name) => name !== state.metric && table.metrics.includes(name)).slice(0, main.length);
  return [...found, ...beside.map(meanOnly), counted("seconds"), counted("parameters")];
};

const sortHead = (column, sort, act) => el("th", { scope: "col", "aria-sort": sort,
  class: column.chosen ? "chosen" : null, "data-column": column.key }, headButton(column.head, act));

const describe = (table) => {
  const kind = table.external ? "External predictions, made by code that was not run here"
    : state.board.twin ? "Twin (generated data)" : "Measured";
  const one = state.board.single ? " Every sample has one label: accuracy is micro-F1." : "";
  return `${kind}: ${table.id}, ${trainedHow(table)}, scored under ${table.dropout} on ${table.split} (${table.samples} samples), mask ${table.mask}, ${table.data}.${one}${table.chance ? ` ${table.chance}` : ""}`;
};

const draw = (focus) => {
  const { table } = state;
  if (!table) return;
  const cols = columns(table);
  if (!cols.some((c) => c.key === state.sort.key)) state.sort = { key: state.metric, down: true };
  const by = cols.find((c) => c.key === state.sort.key);
  const rows = table.rows.filter((row) => visible(about(row))).map((row, i) => [row, i])
    .sort(([a, i], [b, j]) => compare(by.value(a), by.value(b), state.sort.down) || i - j).map(([row]) => row);
  const head = el("tr", {}, ...cols.map((c) => sortHead(c,
    c === by ? (state.sort.down ? "descending" : "ascending") : "none", () => {
      state.sort = { key: c.key, down: c === by ? !state.sort.down : !c.up };
      draw({ column: c.key });
    })));
  const body = el("tbody");
  rows.forEach((row) => {
    const id = `detail-${row.about}`;
    const open = state.open.has(row.about);
    const button = el("button", { type: "button", "aria-expanded": String(open), "aria-controls": open ? id : null,
      "data-row": String(row.about) }, about(row).label);
    button.addEventListener("click", () => {
      if (!state.open.delete(row.about)) state.open.add(row.about);
      draw({ row: row.about });
    });
    const badge = REFERENCE.has(about(row).role) && el("span", { class: "kind" }, about(row).role);
    const setting = !alike(table) && about(row).role === "model" && about(row).setting
      && el("span", { class: "setting" }, ` ${about(row).setting}`);
    const older = about(row).older && el("span", { class: "kind", title: "by older code" }, "‡");
    body.append(el("tr", { class: about(row).role }, el("th", { scope: "row" }, button, badge, setting, older),
      ...cols.slice(1).map((c) => el("td", { class: c.chosen ? "chosen" : null }, c.cell(row)))));
    if (open) body.append(detail(table, row, cols.length, id));
  });
  if (!rows.length) body.append(el("tr", {}, el("td", { colspan: cols.length }, "No row fits the filter and what is shown.")));
  if (byId("show-measured").checked) {
    table.failed.forEach(([label, seed, run, reason]) => body.append(el("tr", { class: "failed" },
      el("th", { scope: "row" }, label),
      el("td", { class: "reason", colspan: cols.length - 1 }, `seed ${seed} failed: ${reason} (${run})`))));
  }
  const left = byId("board").querySelector(".scroll")?.scrollLeft || 0;
  byId("board").replaceChildren(scroll(describe(table),
    el("table", { class: classOf(table), id: "measured" }, captioned(describe(table)), el("thead", {}, head), body),
    { view: "leaderboard", ...boardKey() }));
  byId("board").querySelector(".scroll").scrollLeft = left;
  byId("status").textContent =
    `${rows.length} of ${table.rows.length} rows, sorted by ${by.head}, ${state.sort.down ? "descending" : "ascending"}.`;
  if (focus) {
    const where = "column" in focus ? `[data-column="${focus.column}"] button` : `[data-row="${focus.row}"]`;
    byId("board").querySelector(where)?.focus();
  }
};
