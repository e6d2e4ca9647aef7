"use strict";
(() => {
  const data = JSON.parse(document.getElementById("records").textContent);
  const NONE = "–";
  const COMPLETE = "full@1";
  const REFERENCE = new Set(["ceiling", "trivial"]);
  const byId = (id) => document.getElementById(id);
  const SVG = byId("namespace").namespaceURI;
  const state = { board: null, table: null, metric: null, sort: null, open: new Set() };

  // Elements are made from text only: names in records are never read as markup.
  const build = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  };
  const el = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

  const known = (value) => value !== null && value !== undefined;
  const number = (value, digits = 4) => (known(value) ? (value / data.scale).toFixed(digits) : NONE);
  const signed = (value) => (known(value) && value >= 0 ? "+" : "") + number(value);
  const ends = (pair, show = number) => (pair ? `${show(pair[0])}..${show(pair[1])}` : NONE);
  const percent = (value) => (known(value) ? `${((100 * value) / data.scale).toFixed(1)} %` : NONE);
  const probability = (value) => (value < 1 ? "< 0.0001" : number(value));
  const about = (row) => state.board.about[row.about];
  const fullName = (row) => {
    const { label, setting, role } = about(row);
    return setting && !REFERENCE.has(role) ? `${label} (${setting})` : label;
  };
  const figure = (table, row, metric) => {
    const place = table.metrics.indexOf(metric);
    return place < 0 ? [null, null] : [row.figures[2 * place], row.figures[2 * place + 1]];
  };
  const meanStd = ([mean, std]) => (known(std) ? `${number(mean)} ± ${number(std)}` : number(mean));
  const kindOf = (row) => (REFERENCE.has(about(row).role) ? "reference" : "measured");

  const plainTable = (caption, heads, lines, attributes = {}) =>
    el("table", attributes, el("caption", {}, el("span", {}, caption)),
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...lines.map((cells) => el("tr", {},
        ...cells.map((cell, i) => (i ? el("td", {}, cell) : el("th", { scope: "row" }, cell)))))));

  const scroll = (label, child) =>
    el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, child);

  const options = (select, choices, chosen) => {
    const groups = new Map();
    for (const { value, text, group } of choices) {
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(el("option", { value, selected: value === chosen }, text));
    }
    select.replaceChildren(...[...groups].flatMap(([group, items]) =>
      group ? [el("optgroup", { label: group }, ...items)] : items));
  };

  // ---- columns of the measured table ----
  const columns = (table) => {
    const metric = (name) => ({ key: name, head: data.heads[name] || name, chosen: name === state.metric,
      value: (row) => figure(table, row, name)[0], cell: (row) => meanStd(figure(table, row, name)) });
    const some = (key) => table.rows.some((row) => known(row[key]));
    const text = (key) => ({ value: (row) => about(row)[key].toLowerCase() });
    const found = [
      { key: "model", head: "model", ...text("label"), up: true },
      { key: "setting", head: "setting", ...text("setting"), up: true,
        cell: (row) => (REFERENCE.has(about(row).role) ? about(row).role : about(row).setting) || NONE },
      { key: "n", head: "n", value: (row) => about(row).seeds.length,
        cell: (row) => String(about(row).seeds.length) },
      metric(state.metric),
    ];
    const tested = data.heads[data.tested];
    if (some("rank")) {
      found.push({ key: "rank", head: `rank (${tested})`, up: true,
        value: (row) => (row.rank ? parseInt(row.rank, 10) : null), cell: (row) => row.rank || NONE });
    }
    if (some("over_samples")) {
      found.push(
        { key: "over_seeds", head: `95 % seeds (${tested})`, value: (row) => row.over_seeds?.[0],
          cell: (row) => ends(row.over_seeds) },
        { key: "over_samples", head: `95 % samples (${tested})`, value: (row) => row.over_samples?.[0],
          cell: (row) => ends(row.over_samples) });
    }
    if (some("share")) {
      found.push({ key: "share", head: `of ceiling (${tested})`, value: (row) => row.share,
        cell: (row) => percent(row.share) });
    }
    return [...found, ...table.metrics.filter((name) => name !== state.metric).map(metric)];
  };

  const compare = (a, b, down) => {
    if (!known(a) || !known(b)) return known(b) - known(a);
    const order = typeof a === "string" ? a.localeCompare(b, "en") : a - b;
    return down ? -order : order;
  };

  const sortButton = (head, sort, chosen, act) =>
    el("th", { scope: "col", "aria-sort": sort, class: chosen ? "chosen" : null },
      ((button) => (button.addEventListener("click", act), button))(el("button", { type: "button" }, head)));

  const shown = (table) => {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    return table.rows.filter((row) => {
      const name = `${about(row).label} ${about(row).setting} ${about(row).role}`.toLowerCase();
      return byId(`show-${kindOf(row)}`).checked && words.every((word) => name.includes(word));
    });
  };

  // ---- an opened row ----
  const sibling = (table, row) => {
    const mine = about(row);
    return table.rows.find((other) => {
      const its = about(other);
      return its.role === mine.role && its.label === mine.label && its.setting === mine.setting;
    });
  };

  const acrossProtocols = (table, row, metric) =>
    state.board.tables
      .filter((t) => !t.external && t.hash === table.hash && t.mask === table.mask && t.train === table.train
        && t.split === table.split && t.metrics.includes(metric))
      .map((t) => {
        const mine = sibling(t, row);
        const top = t.rows.find((other) => about(other).role === "ceiling");
        return mine && known(figure(t, mine, metric)[0])
          ? { name: t.dropout, rate: t.rate, value: figure(t, mine, metric), top: top ? figure(t, top, metric)[0] : null }
          : null;
      })
      .filter(Boolean);

  const curve = (points, name, metric) => {
    const line = points.filter((p) => known(p.rate) && (p.name === COMPLETE || /^random-0\.\d+@/.test(p.name)))
      .sort((a, b) => a.rate - b.rate);
    if (line.length < 3) return null;
    const [width, height, left, bottom, top] = [460, 260, 48, 40, 12];
    const most = Math.max(...line.map((p) => p.rate)) || 1;
    const highest = Math.min(1, Math.ceil(Math.max(...line.flatMap((p) => [p.value[0], p.top || 0])) / data.scale * 10) / 10) || 1;
    const x = (rate) => left + (rate / most) * (width - left - 16);
    const y = (value) => height - bottom - (value / data.scale / highest) * (height - bottom - top);
    const path = (values) => values.map(([rate, value], i) => `${i ? "L" : "M"}${x(rate).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    const ticks = [0, 0.25, 0.5, 0.75, 1];
    const ceiling = line.filter((p) => known(p.top)).map((p) => [p.rate, p.top]);
    return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": `${metric} of ${name} over the realised missing rate; the same figures stand in the table beside it` },
    ...ticks.map((t) => svg("path", { class: "grid", d: `M${left} ${y(t * highest * data.scale)}H${width - 16}` })),
    ...ticks.map((t) => svg("text", { x: left - 6, y: y(t * highest * data.scale) + 4, "text-anchor": "end" }, (t * highest).toFixed(2))),
    ...ticks.map((t) => svg("text", { x: x(t * most), y: height - bottom + 16, "text-anchor": "middle" }, (t * most / data.scale).toFixed(2))),
    svg("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - 16}` }),
    svg("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" },
      ceiling.length ? "realised missing rate (dashed: ceiling)" : "realised missing rate"),
    svg("path", { class: "curve", d: path(line.map((p) => [p.rate, p.value[0]])) }),
    ...line.map((p) => svg("circle", { class: "dot", r: 3.5, cx: x(p.rate).toFixed(1), cy: y(p.value[0]).toFixed(1) })),
    ceiling.length > 1 ? svg("path", { class: "top", d: path(ceiling) }) : null);
  };

  const robustness = (table, row) => {
    const points = acrossProtocols(table, row, state.metric);
    if (points.length < 2) return null;
    const metric = data.heads[state.metric] || state.metric;
    const mine = about(row);
    const totals = state.metric === data.tested && state.board.aggregates.find((a) => a.hash === table.hash
      && a.mask === table.mask && a.train === table.train && a.role === mine.role && a.label === mine.label
      && a.setting === mine.setting);
    points.sort((a, b) => (b.name === COMPLETE) - (a.name === COMPLETE) || a.name.localeCompare(b.name, "en"));
    const drawn = curve(points, fullName(row), metric);
    return [
      drawn && el("div", {}, el("h3", {}, "Robustness curve"), drawn),
      el("div", {}, plainTable(`${metric} when modalities are missing`,
        ["scored under", "missing rate", metric, "ceiling"],
        points.map((p) => [p.name, number(p.rate, 3), meanStd(p.value), number(p.top)]))),
      totals ? el("div", {}, plainTable("Aggregates of core@1", ["aggregate", "mean ± std"],
        totals.figures.map(([name, mean, std]) => [name.replaceAll("_", " "), meanStd([mean, std])]))) : null,
    ];
  };

  const detail = (table, row, span, id) => {
    const mine = about(row);
    const per = row.seeds || [];
    const seeds = plainTable(per.length ? "Seeds" : "Seeds (figures per seed stand under full@1)",
      ["seed", ...(per.length ? table.metrics.map((name) => data.heads[name] || name) : []), "record"],
      mine.seeds.map((seed, i) => [String(seed), ...(per[i] || []).map((v) => number(v)), mine.runs[i]]));
    const facts = [
      ["mean ± std", meanStd(figure(table, row, state.metric))],
      ...(row.over_seeds ? [["95 % over seeds", ends(row.over_seeds)]] : []),
      ...(row.over_samples ? [["95 % over samples", `${ends(row.over_samples)} (${row.clusters} groups)`]] : []),
      ["parameters", mine.parameters.toLocaleString("en")],
      ["version", mine.version],
    ];
    const labels = row.labels?.length
      ? el("div", {}, plainTable("Per label, mean over seeds", ["label", "support", "P", "R", "F1", "AP"],
        row.labels.map(([name, support, ...rest]) => [name, String(support ?? NONE), ...rest.map((v) => number(v))])))
      : null;
    return el("tr", { class: "detail", id }, el("td", { colspan: span }, el("div", { class: "detail-body" },
      el("div", { class: "wide" }, seeds),
      el("div", {}, plainTable(`Intervals: ${data.heads[data.tested]}`, ["of", "value"], facts)),
      labels,
      ...(robustness(table, row) || []),
      mine.commands.length
        ? el("div", { class: "wide" }, el("h3", {}, "To reproduce"), el("pre", { tabindex: "0" }, mine.commands.join("\n")))
        : null)));
  };

  // ---- the measured table ----
  const describe = (table) => {
    const how = table.external ? "" : `trained under ${table.train}, `;
    const kind = table.external ? "External predictions, made by code that was not run here"
      : state.board.twin ? "Twin (generated data)" : "Measured";
    return `${kind}: ${table.id}, ${how}scored under ${table.dropout} on ${table.split} (${table.samples} samples), mask ${table.mask}, data ${table.hash}.`;
  };

  const draw = (focus) => {
    const { table, board } = state;
    if (!table) return;
    const cols = columns(table);
    if (!cols.some((c) => c.key === state.sort.key)) state.sort = { key: state.metric, down: true };
    const by = cols.find((c) => c.key === state.sort.key);
    const rows = shown(table).map((row, i) => [row, i])
      .sort(([a, i], [b, j]) => compare(by.value(a), by.value(b), state.sort.down) || i - j).map(([row]) => row);
    const head = el("tr", {}, ...cols.map((c) => sortButton(c.head,
      c === by ? (state.sort.down ? "descending" : "ascending") : "none", c.chosen, () => {
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
      const badge = REFERENCE.has(about(row).role) ? el("span", { class: "kind" }, about(row).role) : null;
      body.append(el("tr", { class: about(row).role }, el("th", { scope: "row" }, button, badge),
        ...cols.slice(1).map((c) => el("td", { class: c.chosen ? "chosen" : c.key === "setting" ? "setting" : null }, c.cell(row)))));
      if (open) body.append(detail(table, row, cols.length, id));
    });
    if (byId("show-measured").checked) {
      table.failed.forEach(([label, seed, run, reason]) => body.append(el("tr", { class: "failed" },
        el("th", { scope: "row" }, label),
        el("td", { class: "setting", colspan: cols.length - 1 }, `seed ${seed} failed: ${reason} (${run})`))));
    }
    cols.forEach((c, i) => head.children[i].setAttribute("data-column", c.key));
    const kind = table.external ? "external" : board.twin ? "twin" : "measured";
    byId("board").replaceChildren(scroll(describe(table),
      el("table", { class: kind, id: "measured" }, el("caption", {}, el("span", {}, describe(table))), el("thead", {}, head), body)));
    byId("status").textContent =
      `${rows.length} of ${table.rows.length} rows, sorted by ${by.head}, ${state.sort.down ? "descending" : "ascending"}.`;
    if (focus) {
      const where = "column" in focus ? `[data-column="${focus.column}"] button` : `[data-row="${focus.row}"]`;
      byId("board").querySelector(where)?.focus();
    }
  };

  const quoted = (word) => (/^[\w.:@/-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
  const verdict = () => {
    const { table, board, metric } = state;
    const [i, j] = ["first", "second"].map((id) => Number(byId(id).value));
    const [a, b] = [table?.rows[i], table?.rows[j]];
    if (!a || !b || i === j) {
      byId("verdict").replaceChildren(el("p", {}, "Choose two different models of this table."));
      return;
    }
    const head = data.heads[metric] || metric;
    const tested = metric === data.tested;
    const [first, second] = [a, b].map((row) => figure(table, row, metric));
    const lines = [a, b].map((row) => [fullName(row), String(about(row).seeds.length), meanStd(figure(table, row, metric)),
      tested ? ends(row.over_seeds) : NONE, tested ? ends(row.over_samples) : NONE]);
    const parts = [plainTable(`${head}, ${table.dropout}`, ["model", "n", "mean ± std", "95 % seeds", "95 % samples"], lines)];
    const found = tested && table.tests.find((t) => (t[0] === i && t[1] === j) || (t[0] === j && t[1] === i));
    if (found) {
      const turned = found[0] === j;
      const [apart, gap, low, high, pPerm, pSeeds, pHolm] = found.slice(2);
      const [delta, interval] = turned ? [-gap, [-high, -low]] : [gap, [low, high]];
      const better = delta > 0 ? a : b;
      parts.push(el("p", {}, el("strong", {}, apart ? `Told apart: ${fullName(better)} is better.` : "Not told apart."),
        apart ? "" : " That does not mean equal: read the interval."),
      plainTable("Test of the difference, first minus second", ["figure", "value"], [
        ["difference", signed(delta)], ["95 % over samples", ends(interval, signed)],
        ["p, paired permutation of groups", probability(pPerm)], ["p, Welch over seeds", probability(pSeeds)],
        ["larger p, Holm over all pairs of the table", probability(pHolm)]]));
    } else {
      const gap = known(first[0]) && known(second[0]) ? signed(first[0] - second[0]) : NONE;
      const why = tested && table.dropout === COMPLETE
        ? "a test needs three seeds that both have, and the predictions of both."
        : `the page holds tests of ${data.heads[data.tested]} under ${COMPLETE} only.`;
      parts.push(el("p", {}, `Difference of means, first minus second: ${gap}. Not tested here: ${why}`));
    }
    if (!board.compat && !table.external && data.comparable.includes(metric)) {
      const names = [a, b].map((row) => {
        const { model, setting, role } = about(row);
        const several = table.rows.filter((other) => about(other).model === model).length > 1;
        return quoted(several && setting && !REFERENCE.has(role) ? `${model}:${setting}` : model);
      });
      const extra = [...(table.dropout === COMPLETE ? [] : ["--protocol", table.dropout]),
        ...(table.train === COMPLETE ? [] : ["--train-dropout", table.train]), ...(tested ? [] : ["--metric", metric])];
      parts.push(el("pre", { tabindex: "0" }, ["harness compare", ...names, "--dataset", quoted(board.name), ...extra].join(" ")));
    }
    byId("verdict").replaceChildren(...parts);
  };
  // ---- what is chosen ----
  const pairs = () => {
    const { table } = state;
    const choices = table ? table.rows.map((row, i) => ({ value: String(i), text: fullName(row), group: "" })) : [];
    const trained = choices.filter((c) => kindOf(table.rows[Number(c.value)]) === "measured");
    const [a, b] = trained.length > 1 ? trained : choices;
    options(byId("first"), choices, a?.value);
    options(byId("second"), choices, b?.value);
    verdict();
  };

  const chooseTable = (place) => {
    state.table = state.board?.tables[place] || null;
    state.open.clear();
    const names = state.table?.metrics || [];
    if (!names.includes(state.metric)) state.metric = names[0];
    state.sort = { key: state.metric, down: true };
    options(byId("metric"), names.map((name) => ({ value: name, text: data.heads[name] || name, group: "" })), state.metric);
    if (!state.table) byId("board").replaceChildren();
    draw();
    pairs();
  };

  const chooseBoard = (name) => {
    state.board = data.boards.find((board) => board.name === name) || null;
    const banner = byId("banner");
    banner.hidden = !state.board?.twin;
    banner.textContent = state.board?.twin
      ? `Generated twin of ${state.board.base}: these figures say nothing about the real data set.` : "";
    const tables = state.board?.tables || [];
    const hashes = new Set(tables.map((t) => t.hash));
    const masks = new Set(tables.map((t) => t.mask));
    options(byId("protocol"), tables.map((t, i) => ({ value: String(i),
      group: t.external ? "External predictions" : `Trained under ${t.train}`,
      text: [t.dropout, ...(masks.size > 1 ? [`mask ${t.mask}`] : []), ...(hashes.size > 1 ? [`data ${t.hash.slice(0, 8)}`] : [])].join(", ") })), "0");
    chooseTable(0);
    reported();
  };

  const reported = () => {
    for (const part of document.querySelectorAll("section.data")) {
      const mine = part.getAttribute("data-board") === state.board?.name;
      part.hidden = !mine || !byId("show-reported").checked || !part.querySelector(".printed");
    }
  };

  const listBoards = () => {
    const twins = byId("show-twins").checked;
    const usable = data.boards.filter((board) => twins || !board.twin);
    const kept = usable.find((board) => board === state.board) || usable.find((board) => !board.twin) || usable[0];
    options(byId("dataset"), usable.map((board) => ({ value: board.name, text: board.name,
      group: board.twin ? "Generated twins" : "Real data" })), kept?.name);
    if (kept !== state.board || !kept) chooseBoard(kept?.name);
    if (!kept) byId("status").textContent = "Only generated twins have records; show them to see a table.";
  };

  const makeSortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const read = (row, place) => {
      const text = row.cells[place].textContent;
      const value = parseFloat(text);
      return text === NONE ? null : Number.isNaN(value) ? text.toLowerCase() : value;
    };
    heads.forEach((cell, place) => {
      const button = el("button", { type: "button" }, cell.textContent);
      cell.replaceChildren(button);
      cell.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const down = cell.getAttribute("aria-sort") === "ascending" || (cell.getAttribute("aria-sort") === "none" && place > 1);
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        table.tBodies[0].append(...rows.sort((a, b) => compare(read(a, place), read(b, place), down)));
      });
    });
  };

  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("dataset").addEventListener("change", (event) => chooseBoard(event.target.value));
  byId("protocol").addEventListener("change", (event) => chooseTable(Number(event.target.value)));
  byId("metric").addEventListener("change", (event) => {
    state.metric = event.target.value;
    state.sort = { key: state.metric, down: state.metric !== "hamming" };
    draw();
    verdict();
  });
  byId("filter").addEventListener("input", () => draw());
  for (const kind of ["measured", "reference"]) byId(`show-${kind}`).addEventListener("change", () => draw());
  byId("show-reported").addEventListener("change", reported);
  byId("show-twins").addEventListener("change", listBoards);
  for (const id of ["first", "second"]) byId(id).addEventListener("change", verdict);

  for (const part of document.querySelectorAll(".plain")) part.hidden = true;
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  byId("app").hidden = false;
  listBoards();
})();
