// ---- what is chosen ----
const drawAll = () => {
  draw();
  drawSlices();
  drawSuites();
  drawCitation();
};

const chooseTable = (place, wanted = null) => {
  state.table = state.board?.tables[place] || null;
  state.open.clear();
  const names = state.table?.metrics || [];
  if (wanted || !names.includes(state.metric)) state.metric = names[0];
  state.sort = { key: state.metric, down: fallsFirst(state.metric) };
  if (wanted) take(wanted);
  options(byId("metric"), names.map((name) => ({ value: name, text: headOf(name), group: "" })), state.metric);
  if (!state.table) byId("board").replaceChildren();
  drawAll();
  pairs();
};

const showBoard = (board) => {
  const wanted = board && state.wanted;
  if (board) state.wanted = null;
  state.board = board;
  state.suite = null;
  const tables = board?.tables || [];
  const hashes = new Set(tables.map((t) => t.hash));
  const masks = new Set(tables.map((t) => t.mask));
  options(byId("protocol"), tables.map((t, i) => ({ value: String(i),
    group: t.external ? "External predictions" : `Trained under ${t.train}`,
    text: [t.dropout, ...(masks.size > 1 ? [`mask ${t.mask}`] : []), ...(hashes.size > 1 ? [`data ${t.hash.slice(0, 8)}`] : [])].join(", ") })), "0");
  const place = wanted && board ? placeOf(board, wanted) : 0;
  byId("protocol").value = String(Math.max(place, 0));
  chooseTable(Math.max(place, 0), wanted);
  if (place < 0) byId("status").textContent += " The address of this page asks for a table that this board no longer has.";
};

const sectionsOf = (name) => [...document.querySelectorAll("section.data")].filter((part) => part.getAttribute("data-board") === name);

// A board's own file is read once, when it is first chosen; until then its main tables stand as they are.
const loadBoard = (board) => {
  const file = `${board.name}.js`;
  const script = el("script", { src: encodeURIComponent(file) });
  const failed = () => {
    byId("status").textContent = `Sorting, comparing and details need the file ${file} beside this page.`;
  };
  script.addEventListener("error", failed);
  script.addEventListener("load", () => {
    if (!board.tables) return failed();
    for (const part of sectionsOf(board.name)) for (const drawn of part.querySelectorAll(".drawn")) drawn.hidden = true;
    if (state.chosen === board) showBoard(board);
  });
  document.head.append(script);
};

const chooseBoard = (name) => {
  const board = data.boards.find((one) => one.name === name) || null;
  state.chosen = board;
  byId("board-title").textContent = board ? board.name : "";
  const banner = byId("banner");
  banner.hidden = !board?.twin;
  banner.textContent = board?.twin
    ? `Generated twin of ${board.base}: these figures say nothing about the real data set.` : "";
  byId("about").replaceChildren(...(board?.lines || []).map((line) => el("p", { class: "quiet" }, line)));
  for (const part of document.querySelectorAll("section.data")) part.hidden = part.getAttribute("data-board") !== board?.name;
  showBoard(board?.tables ? board : null);
  if (board && !board.tables) loadBoard(board);
};

const listBoards = (asked = null) => {
  const twins = byId("show-twins").checked;
  const usable = data.boards.filter((board) => twins || !board.twin);
  const kept = usable.find((board) => board === (asked || state.chosen)) || usable.find((board) => !board.twin) || usable[0];
  options(byId("dataset"), usable.map((board) => ({ value: board.name, text: board.name,
    group: board.twin ? "Generated twins" : "Real data" })), kept?.name);
  if (asked || kept !== state.chosen || !kept) chooseBoard(kept?.name);
  if (!kept && data.boards.length) byId("status").textContent = "Only generated twins have records; show them to see a table.";
};

// Shows what the address asks for; what it does not name is as at first.
const readAddress = () => {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const hidden = (wanted.get("hide") || "").split(",");
  const board = data.boards.find((one) => one.name === wanted.get("board"));
  state.wanted = board ? wanted : null;
  byId("filter").value = wanted.get("filter") || "";
  for (const name of SHOWN) byId(`show-${name}`).checked = !hidden.includes(name);
  if (board?.twin) byId("show-twins").checked = true;
  document.body.classList.toggle("no-reported", hidden.includes("reported"));
  listBoards(board);
  if (!board && wanted.has("board")) byId("status").textContent = "The address of this page asks for a board that is not here.";
};

byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("dataset").addEventListener("change", (event) => {
  state.wanted = null;
  chooseBoard(event.target.value);
});
byId("protocol").addEventListener("change", (event) => chooseTable(Number(event.target.value)));
byId("metric").addEventListener("change", (event) => {
  state.metric = event.target.value;
  state.sort = { key: state.metric, down: fallsFirst(state.metric) };
  drawAll();
  verdict();
});
byId("filter").addEventListener("input", drawAll);
for (const kind of ["measured", "reference"]) byId(`show-${kind}`).addEventListener("change", drawAll);
byId("show-reported").addEventListener("change", (event) =>
  document.body.classList.toggle("no-reported", !event.target.checked));
byId("show-twins").addEventListener("change", () => listBoards());
for (const id of ["first", "second"]) byId(id).addEventListener("change", verdict);

for (const part of document.querySelectorAll(".plain:not(.drawn)")) part.hidden = true;
document.querySelectorAll("table.sortable").forEach(makeSortable);
byId("app").hidden = data.boards.length === 0;
for (const table of document.querySelectorAll("main .scroll > table")) {
  savable(table, { board: table.closest("[data-board]")?.getAttribute("data-board"), view: table.closest(".scroll").getAttribute("aria-label") });
}
readAddress();
// After the handlers of what was clicked or typed.
for (const kind of ["click", "input", "change"]) byId("app").addEventListener(kind, keepAddress);
window.addEventListener("hashchange", readAddress);
