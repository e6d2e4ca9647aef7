"use strict";
const data = JSON.parse(document.getElementById("records").textContent);
// What a board's own file calls: its values join what the page knew of it.
window.harnessBoard = (name, values) => {
  for (const table of values.tables) {
    table.rows = table.rows.map((row) => (Array.isArray(row) ? { about: row[0], figures: row.slice(1) } : row));
  }
  Object.assign(data.boards.find((board) => board.name === name), values);
};
const NONE = "–";
const COMPLETE = "full@1";
const REFERENCE = new Set(["ceiling", "observer", "trivial"]);
const byId = (id) => document.getElementById(id);
const SVG = byId("namespace").namespaceURI;
const state = { chosen: null, board: null, table: null, metric: null, sort: null, suite: null, track: null, drawn: null, open: new Set(),
  wanted: null };  // what the address asks for, until its board is there

// Elements are made from text only: names in records are never read as markup.
const build = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};
const el = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

const known = (value) => value !== null && value !== undefined;
const number = (value, digits = 4) => (known(value) ? (value / data.scale).toFixed(digits) : NONE);
const signed = (value) => (known(value) && value >= 0 ? "+" : "") + number(value);
const ends = (pair, show = number) => (pair ? `${show(pair[0])}..${show(pair[1])}` : NONE);
const percent = (value) => (
  known(value) ? `${(100 * value).toFixed(1).replace(/^-(?=0\.0$)/, "")} %` : NONE);
const probability = (value) => (value < 1 ? "< 0.0001" : number(value));
const meanStd = ([mean, std]) => (std < 0 ? `${number(mean)} deterministic` : known(std) ? `${number(mean)} ±\u00a0${number(std)}` : number(mean));

const headOf = (metric) => data.heads[metric] || metric;
const nameOf = ({ name }) => name;
const settingOf = ({ role, setting }) => (REFERENCE.has(role) ? role : setting) || NONE;
const about = (row) => state.board.about[row.about];
const fullName = (row) => nameOf(about(row));
const figure = (table, row, metric) => {
  const place = table.metrics.indexOf(metric);
  return place < 0 ? [null, null] : [row.figures[2 * place], row.figures[2 * place + 1]];
};
const ceilingOf = (table) => table.rows.find((row) => about(row).role === "ceiling");
// The best trivial predictor: none of them sees the input.
const constantOf = (table) => {
  const score = (row) => figure(table, row, state.board.tested)[0];
  const trivial = table.rows.filter((row) => about(row).role === "trivial" && known(score(row)));
  return trivial.sort((one, other) => score(other) - score(one))[0];
};
// As harness.statistics.share gives it: null where there is no ceiling, or no range to it.
const shareOf = (table, row, metric) => {
  const share = row && table.shares?.[table.rows.indexOf(row)]?.[table.metrics.indexOf(metric)];
  return known(share) ? share / data.scale : null;
};
const kindOf = ({ role }) => (REFERENCE.has(role) ? "reference" : "measured");
const visible = (entry) => {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const name = `${entry.label} ${entry.setting} ${entry.role}`.toLowerCase();
  return byId(`show-${kindOf(entry)}`).checked && words.every((word) => name.includes(word));
};

// One model under another protocol: the row that has a run in common.
const sameModel = (table, entry) => table.rows.find((row) => {
  const its = about(row);
  return its.role === entry.role && its.runs.some((run) => entry.runs.includes(run));
});
const tableUnder = (like, dropout) => state.board.tables.find((t) => t.dropout === dropout && t.hash === like.hash
  && t.mask === like.mask && t.train === like.train && Boolean(t.external) === Boolean(like.external));

const classOf = (table) => (table.external ? "external" : state.board.twin ? "twin" : "measured");
const trainedHow = (table) => (table.external ? "trained elsewhere" : `trained under ${table.train}`);

// ---- tables ----
const captioned = (text) => el("caption", {}, el("span", {}, text));
const scroll = (label, table, key) =>
  el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, savable(table, key));
const plainTable = (caption, heads, lines, attributes = {}) =>
  el("table", attributes, captioned(caption),
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...lines.map((cells) => el("tr", {},
      ...cells.map((cell, i) => (i ? el("td", {}, cell) : el("th", { scope: "row" }, cell)))))));

const compare = (a, b, down) => {
  if (!known(a) || !known(b)) return known(b) - known(a);
  const order = typeof a === "string" ? a.localeCompare(b, "en") : a - b;
  return down ? -order : order;
};

// A head breaks between words only, and keeps its arrow.
const words = (text) => text.split(" ").flatMap((word, i) => [...(i ? [" "] : []), el("span", { class: "word" }, word)]);
const headButton = (text, act) => {
  const button = el("button", { type: "button" }, ...words(text));
  button.addEventListener("click", act);
  return button;
};

// Heads of a table become buttons that sort its lines; figures first fall, names first rise.
const makeSortable = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  const columnOf = (rows, place) => {
    const texts = rows.map((row) => row.cells[place]?.textContent.trim() || NONE);
    const figures = texts.every((text) => text === NONE || /^[+<−-]?\s?\d/.test(text));
    return texts.map((text) => (text === NONE ? null : figures ? parseFloat(text.replace("<", "")) : text.toLowerCase()));
  };
  heads.forEach((cell, place) => {
    cell.setAttribute("aria-sort", "none");
    cell.replaceChildren(headButton(cell.textContent, () => {
      const rows = [...table.tBodies[0].rows];
      const values = columnOf(rows, place);
      const before = cell.getAttribute("aria-sort");
      const down = before === "none" ? values.some((value) => typeof value === "number") : before === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = rows.map((row, i) => i).sort((i, j) => compare(values[i], values[j], down) || i - j);
      table.tBodies[0].append(...order.map((i) => rows[i]));
    }));
  });
  return table;
};

const options = (select, choices, chosen) => {
  const groups = new Map();
  for (const { value, text, group } of choices) {
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(el("option", { value, selected: value === chosen }, text));
  }
  select.replaceChildren(...[...groups].flatMap(([group, items]) =>
    group ? [el("optgroup", { label: group }, ...items)] : items));
};
const field = (id, label, choices, chosen, act) => {
  const select = el("select", { id });
  options(select, choices, chosen);
  select.addEventListener("change", () => act(select.value));
  return el("div", { class: "field" }, el("label", { for: id }, label), select);
};
