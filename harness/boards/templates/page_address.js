// ---- what is chosen, in the address of the page ----
const SHOWN = ["measured", "reference", "reported", "twins"];
// What tells a table from the board's first; the address names only what differs from it.
const PLACE = {
  protocol: (table) => table.dropout,
  train: (table) => table.train,
  mask: (table) => table.mask,
  data: (table) => table.hash,
  external: (table) => (table.external ? "yes" : ""),
};
const fallsFirst = (metric) => !data.lower.includes(metric);

const addressOf = () => {
  const { chosen, board, table, metric, sort, suite, track, drawn, open } = state;
  const found = new URLSearchParams();
  const put = (name, value) => value && found.append(name, value);
  put("board", chosen?.name);
  if (table) {
    for (const [name, of] of Object.entries(PLACE)) {
      if (of(table) !== of(board.tables[0])) put(name, of(table) || "no");
    }
    if (metric !== table.metrics[0]) put("metric", metric);
    if (sort.key !== metric || sort.down !== fallsFirst(metric)) put("sort", `${sort.down ? "-" : ""}${sort.key}`);
    for (const row of table.rows) if (open.has(row.about)) put("open", fullName(row));
    put("suite", suite);
    put("track", track);
    put("curve", drawn);
  }
  put("filter", byId("filter").value);
  put("hide", SHOWN.filter((name) => !byId(`show-${name}`).checked).join(","));
  return found.toString();
};

// While an address waits for its board, nothing else is written there.
const keepAddress = () => {
  if (!state.wanted) history.replaceState(null, "", `#${addressOf()}`);
};

const placeOf = (board, wanted) => board.tables.findIndex((table) => Object.entries(PLACE).every(([name, of]) => {
  const asked = wanted.get(name);
  return of(table) === (asked === null ? of(board.tables[0]) : asked === "no" ? "" : asked);
}));

// Takes over what an address asks for, within the table that is now chosen.
const take = (wanted) => {
  const { table } = state;
  if (table.metrics.includes(wanted.get("metric"))) state.metric = wanted.get("metric");
  const [, down, key] = wanted.get("sort")?.match(/^(-?)(.+)$/) || [];
  state.sort = key ? { key, down: Boolean(down) } : { key: state.metric, down: fallsFirst(state.metric) };
  const open = wanted.getAll("open");
  state.open = new Set(table.rows.filter((row) => open.includes(fullName(row))).map((row) => row.about));
  for (const [name, part] of [["suite", "suite"], ["track", "track"], ["curve", "drawn"]]) state[part] = wanted.get(name);
};
