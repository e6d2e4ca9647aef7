// ---- how a table is cited ----
// What a figure's comparability hangs on; two tables with one key may be compared.
const boardKey = () => {
  const { board, table, metric } = state;
  if (!board || !table) return {};
  return { board: board.name, source: board.twin ? "generated twin" : "real data", protocol: table.id, data: table.hash,
    mask: table.mask, trained_under: table.train, scored_under: table.dropout, split: table.split, metric };
};

const citation = () => {
  const { board, table, metric } = state;
  const { versions, commits, newest } = board.made;
  const data_ = board.twin ? `generated twin of ${board.base}, ${table.hash}` : `content ${table.hash.slice(0, 12)}`;
  const note = [
    `board ${board.name}, ${table.id} (${data_}), mask ${table.mask}`,
    `${table.external ? "external predictions" : `trained under ${table.train}`}, scored under ${table.dropout} on ${table.split}, ${headOf(metric)}`,
    `${table.rows.length} rows${newest ? ` as of ${newest}` : ""}`,
    ...(commits.length ? [`runs at ${commits.length > 1 ? "commits" : "commit"} ${commits.join(", ")}`] : []),
  ].join("; ");
  const version = versions.length ? ` ${versions.join(", ")}` : "";
  const year = newest ? newest.slice(0, 4) : "";
  return { text: `emotion-harness${version}: ${note}.`,
    bibtex: [`@misc{emotion-harness-${board.name},`, "  author = {{The emotion-harness authors}},",
      `  title = {emotion-harness${version}: board ${tex(board.name)}},`, ...(year ? [`  year = {${year}},`] : []), `  note = {${tex(note)}},`, "}"].join("\n") };
};

const drawCitation = () => {
  const { table } = state;
  byId("cite").hidden = !table;
  if (!table) return;
  const { text, bibtex } = citation();
  byId("cite-body").replaceChildren(
    el("p", {}, "Name the board, its key and the version; add the command of each row that you quote (it stands where the row is opened). The address of this page holds what is chosen."),
    el("pre", { tabindex: "0" }, text), el("pre", { tabindex: "0" }, bibtex));
};
