// ---- two models and their test ----
const quoted = (word) => (/^[\w.:@/-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

const testOf = (home, a, b) => {
  const places = [a, b].map((row) => home.rows.indexOf(sameModel(home, about(row))));
  if (places.includes(-1)) return null;
  const [i, j] = places;
  const found = home.tests.find((t) => (t[0] === i && t[1] === j) || (t[0] === j && t[1] === i));
  if (!found) return null;
  const [apart, gap, low, high, pPerm, pSeeds, pHolm] = found.slice(2);
  return found[0] === j
    ? { apart, delta: -gap, interval: [-high, -low], pPerm, pSeeds, pHolm }
    : { apart, delta: gap, interval: [low, high], pPerm, pSeeds, pHolm };
};

const compareCommand = (a, b) => {
  const { table, board, metric } = state;
  if (board.compat || table.external || !data.comparable.includes(metric)) return null;
  const names = [a, b].map((row) => {
    const { model, setting, role } = about(row);
    const several = table.rows.filter((other) => about(other).model === model).length > 1;
    return quoted(several && setting && !REFERENCE.has(role) ? `${model}:${setting}` : model);
  });
  const extra = [...(table.dropout === COMPLETE ? [] : ["--dropout", table.dropout]), ...(table.split === "test" ? [] : ["--split", table.split]),
    ...(table.train === COMPLETE ? [] : ["--train-dropout", table.train]), ...(metric === board.tested ? [] : ["--metric", metric])];
  return el("pre", { tabindex: "0" }, ["harness compare", ...names, "--dataset", quoted(board.name), ...extra].join(" "));
};

const verdict = () => {
  const { table, board, metric } = state;
  const [i, j] = ["first", "second"].map((id) => Number(byId(id).value));
  const [a, b] = [table?.rows[i], table?.rows[j]];
  if (!a || !b || i === j) {
    byId("verdict").replaceChildren(el("p", {}, "Choose two different models of this table."));
    return;
  }
  const what = `${headOf(metric)} under ${table.dropout}`;
  const tested = `${headOf(board.tested)} under ${COMPLETE}`;
  const here = what === tested;
  const lines = [a, b].map((row) => [fullName(row), String(about(row).seeds.length), meanStd(figure(table, row, metric)),
    ...(here ? [ends(row.over_seeds), ends(row.over_samples)] : [])]);
  const parts = [plainTable(what, ["model", "n", "mean ± std", ...(here ? ["95 % seeds", "95 % samples"] : [])], lines)];
  const [first, second] = [a, b].map((row) => figure(table, row, metric)[0]);
  const gap = known(first) && known(second) ? signed(first - second) : NONE;
  const home = tableUnder(table, COMPLETE);
  const test = home && testOf(home, a, b);
  if (!here) {
    parts.push(el("p", {}, `Difference of means, first minus second: ${gap}. ${what} is not tested on this page: it holds tests of ${tested} only.`,
      test ? " That test follows; the command below tests what is chosen." : ""));
  } else if (!test) {
    parts.push(el("p", {}, `Difference of means, first minus second: ${gap}. Not tested: a test needs three seeds that both have, and the predictions of both.`));
  }
  if (test) {
    const better = test.delta > 0 ? a : b;
    parts.push(el("p", {}, el("strong", {}, test.apart ? `Told apart: ${fullName(better)} is better.` : "Not told apart."),
      test.apart ? "" : " That does not mean equal: read the interval.", here ? "" : ` (${tested})`),
    plainTable(`Test of ${tested}, first minus second`, ["figure", "value"], [
      ["difference", signed(test.delta)], ["95 % over samples", ends(test.interval, signed)],
      ["p, paired permutation of groups", probability(test.pPerm)], ["p, t-test over seeds", probability(test.pSeeds)],
      ["larger p, Holm over all pairs of the table", probability(test.pHolm)]]));
  }
  const command = compareCommand(a, b);
  if (command) parts.push(command);
  byId("verdict").replaceChildren(...parts);
};

const pairs = () => {
  const { table } = state;
  byId("comparison").hidden = !table || table.rows.length < 2;
  const choices = table ? table.rows.map((row, i) => ({ value: String(i), text: fullName(row), group: "" })) : [];
  const trained = choices.filter((c) => kindOf(about(table.rows[Number(c.value)])) === "measured");
  const [a, b] = trained.length > 1 ? trained : choices;
  options(byId("first"), choices, a?.value);
  options(byId("second"), choices, b?.value);
  verdict();
};
